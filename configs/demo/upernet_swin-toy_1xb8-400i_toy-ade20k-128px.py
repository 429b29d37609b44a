# The same recipe for the standard Swin.
_base_ = [
    './upernet_ummae-swin-toy_1xb8-400i_toy-ade20k-128px.py',
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
