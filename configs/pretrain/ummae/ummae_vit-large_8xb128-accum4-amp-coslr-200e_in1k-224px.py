# UM-MAE, ViT-L: 8 GPUs x 128 images x 4 accumulated = 4096.
# Inferred: that repository has a builder for ViT-L, with eight decoder blocks, but no recipe; the
# schedule is that of ViT-B.
_base_ = './ummae_vit-base_8xb128-accum4-amp-coslr-200e_in1k-224px.py'
model = dict(backbone=dict(arch='large'), neck=dict(in_dims=1024, depth=8))
