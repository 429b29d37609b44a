# The common protocol for a plain ViT; --fit-backbone takes any size.
_base_ = '../../_base_/protocols/ade20k_knn.py'
model = dict(backbone=dict(type='mim_bench.ViT', arch='base'))
