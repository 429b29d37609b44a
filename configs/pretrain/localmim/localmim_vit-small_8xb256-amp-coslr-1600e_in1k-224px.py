# LocalMIM, ViT-S, HOG: 8 GPUs x 256 images = 2048.
# Inferred: Haoqing-Wang/LocalMIM@314a6e5 defines ViT-S without a recipe; everything as for ViT-B.
_base_ = './localmim_vit-base_8xb256-amp-coslr-1600e_in1k-224px.py'
model = dict(backbone=dict(arch='small'), neck=dict(in_dims=384))
