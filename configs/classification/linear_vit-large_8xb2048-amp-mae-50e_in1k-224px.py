# MAE's linear probe of ViT-L: 50 epochs (facebookresearch/mae@efb2a80, FINETUNE.md).
_base_ = './linear_vit-base_8xb2048-amp-mae-90e_in1k-224px.py'
model = dict(
    backbone=dict(arch='large', frozen_stages=24),
    neck=dict(input_features=1024),
    head=dict(in_channels=1024),
)
train_cfg = dict(max_epochs=50)
protocol = dict(name='in1k-linear-mae-50e-vit-large')
