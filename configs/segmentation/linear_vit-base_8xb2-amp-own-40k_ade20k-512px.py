# Linear probe of ViT-B on its last map, after the norm of pre-training.
_base_ = '../_base_/segmentation/linear_512px.py'
model = dict(
    backbone=dict(type='mim_bench.ViT', arch='base', img_size=512, frozen_stages=12),
    neck=dict(in_channels=[768]),
    decode_head=dict(in_channels=768, channels=768, in_index=0),
)
