# The common protocol for UM-MAE's Swin; --fit-backbone takes any size.
_base_ = '../../_base_/protocols/ade20k_logreg.py'
model = dict(backbone=dict(type='mim_bench.UMMAESwin', arch='tiny'))
