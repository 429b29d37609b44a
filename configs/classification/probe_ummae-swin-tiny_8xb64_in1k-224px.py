_base_ = '../_base_/protocols/in1k_probe.py'
model = dict(backbone=dict(type='mim_bench.UMMAESwin', arch='tiny'))
