# The same recipe for the standard Swin.
_base_ = [
    './mask-rcnn_ummae-swin-toy_1xb4-3e_toy-coco-128px.py',
    '../_base_/backbones/swin_toy.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        out_indices=(0, 1, 2),
        pad_small_map=True,
    ),
)
