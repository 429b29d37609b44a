# Inferred, as for UM-MAE's Swin.
_base_ = [
    './mask-rcnn_ummae-swin-tiny_8xb2-swin-12e_coco-800px.py',
    '../_base_/backbones/ummae_pvt_dense.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.ummae_pvt_cfg),
    neck=[{**part, 'in_channels': _base_.pvt_dims} for part in _base_.model.neck],
)
