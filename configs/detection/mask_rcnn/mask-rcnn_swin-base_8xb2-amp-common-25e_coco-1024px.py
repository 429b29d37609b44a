# The common protocol for the standard Swin; --fit-backbone takes any size.
_base_ = '../../_base_/protocols/coco_mask_rcnn.py'
model = dict(backbone=dict(type='mim_bench.Swin', arch='base'))
