# The same recipe for UM-MAE's PVT.
_base_ = [
    './mask-rcnn_ummae-swin-toy_1xb4-3e_toy-coco-128px.py',
    '../_base_/backbones/ummae_pvt_toy.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        img_size=128,
        out_indices=(0, 1, 2),
    ),
)
