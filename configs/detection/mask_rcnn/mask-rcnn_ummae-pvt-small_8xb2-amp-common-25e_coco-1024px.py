# The common protocol for UM-MAE's PVT; --fit-backbone takes any size.
_base_ = '../../_base_/protocols/coco_mask_rcnn.py'
model = dict(backbone=dict(type='mim_bench.UMMAEPvt', arch='small'))
