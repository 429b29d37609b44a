# MAE's linear probe of ViT-H/14 (facebookresearch/mae@efb2a80, FINETUNE.md): 50 epochs, as ViT-L.
_base_ = './linear_vit-large_8xb2048-amp-mae-50e_in1k-224px.py'
model = dict(
    backbone=dict(arch='huge', patch_size=14, frozen_stages=32),
    neck=dict(input_features=1280),
    head=dict(in_channels=1280),
)
protocol = dict(name='in1k-linear-mae-50e-vit-huge')
