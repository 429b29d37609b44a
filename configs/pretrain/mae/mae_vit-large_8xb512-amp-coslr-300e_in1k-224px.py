# MAE, ViT-L (mmpretrain 1.2.0, configs/mae/mae_vit-large-p16_8xb512-amp-coslr-300e_in1k.py).
_base_ = './mae_vit-base_8xb512-amp-coslr-300e_in1k-224px.py'
model = dict(backbone=dict(arch='l'), neck=dict(embed_dim=1024))
