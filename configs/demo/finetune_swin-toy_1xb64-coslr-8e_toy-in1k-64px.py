# The same recipe for the standard Swin.
_base_ = [
    './finetune_ummae-swin-toy_1xb64-coslr-8e_toy-in1k-64px.py',
    '../_base_/backbones/swin_toy.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        # Swin's initialisation is for hundreds of channels; from random weights a network of 32
        # stays at chance for most of this schedule with it.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
)
