# Inferred: the recipe of the smaller ones with a drop path of 0.3. No file of LocalMIM's or
# SimMIM's authors is known: not the authors' recipe.
_base_ = './mask-rcnn_swin-tiny_8xb2-swin-12e_coco-800px.py'
model = dict(
    backbone=dict(arch='base', drop_path_rate=0.3),
    neck=dict(in_channels=[128, 256, 512, 1024]),
)
