# The common protocol for a plain ViT; --fit-backbone takes any size.
_base_ = '../../_base_/protocols/coco_mask_rcnn.py'
model = dict(backbone=dict(type='mim_bench.ViT', arch='base'))
