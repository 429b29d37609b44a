# ConMIM, ViT-S (TencentARC/ConMIM@4263955): 32 GPUs x 64 images = 2048. Inferred: as for ViT-B.
_base_ = './conmim_vit-base_32xb64-amp-coslr-300e_in1k-224px.py'
model = dict(backbone=dict(arch='deit-small'), neck=dict(in_channels=384))
