_base_ = '../_base_/protocols/ade20k_linear.py'
model = dict(backbone=dict(type='mim_bench.UMMAEPvt', arch='small'))
