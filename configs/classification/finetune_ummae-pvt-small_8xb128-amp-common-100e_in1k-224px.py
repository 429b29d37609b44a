_base_ = '../_base_/protocols/in1k_finetune.py'
model = dict(backbone=dict(type='mim_bench.UMMAEPvt', arch='small'))
