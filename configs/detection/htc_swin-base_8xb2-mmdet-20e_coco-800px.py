_base_ = './htc_swin-tiny_8xb2-mmdet-20e_coco-800px.py'
model = dict(
    # drop_path_rate inferred, as for the smaller ones.
    backbone=dict(arch='base', drop_path_rate=0.3),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
