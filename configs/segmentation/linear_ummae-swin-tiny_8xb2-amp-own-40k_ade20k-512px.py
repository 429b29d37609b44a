# Linear probe of UM-MAE's Swin-T on its four maps, resized to the first and put side by side.
_base_ = '../_base_/segmentation/linear_512px.py'
model = dict(
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), frozen_stages=4
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
    decode_head=dict(
        in_channels=[96, 192, 384, 768],
        in_index=[0, 1, 2, 3],
        input_transform='resize_concat',
        channels=1440,
    ),
)
