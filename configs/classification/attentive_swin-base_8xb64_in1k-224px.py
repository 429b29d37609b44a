# The common protocol for the standard Swin; --fit-backbone takes any size.
_base_ = '../_base_/protocols/in1k_attentive.py'
model = dict(backbone=dict(type='mim_bench.Swin', arch='base'))
