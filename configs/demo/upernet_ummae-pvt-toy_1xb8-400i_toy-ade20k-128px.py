# The same recipe for UM-MAE's PVT.
_base_ = [
    './upernet_ummae-swin-toy_1xb8-400i_toy-ade20k-128px.py',
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
