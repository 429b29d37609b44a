# UM-MAE, ViT-S: 8 GPUs x 128 images x 4 accumulated = 4096.
# Inferred: that repository has no ViT-S; everything as for ViT-B.
_base_ = './ummae_vit-base_8xb128-accum4-amp-coslr-200e_in1k-224px.py'
model = dict(backbone=dict(arch='small'), neck=dict(in_dims=384))
