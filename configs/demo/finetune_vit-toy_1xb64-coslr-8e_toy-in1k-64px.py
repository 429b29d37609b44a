# The same recipe for a plain vision transformer.
_base_ = [
    './finetune_ummae-swin-toy_1xb64-coslr-8e_toy-in1k-64px.py',
    '../_base_/backbones/vit_toy.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        img_size=64,
        final_norm=False,
    ),
    neck=dict(in_dims=64),
    head=dict(in_channels=64),
)
