# General knowledge, not read again: layer decay 0.8 and a drop path of 0.4.
_base_ = './mask-rcnn_vit-base_32xb2-amp-vitdet-100e_coco-1024px.py'
model = dict(
    backbone=dict(arch='large', global_blocks=(5, 11, 17, 23), drop_path_rate=0.4),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
