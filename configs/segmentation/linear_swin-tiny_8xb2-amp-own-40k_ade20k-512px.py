# The same for the standard Swin-T.
_base_ = [
    './linear_ummae-swin-tiny_8xb2-amp-own-40k_ade20k-512px.py',
    '../_base_/backbones/swin_window16.py',
]
model = dict(backbone=dict(_delete_=True, **_base_.swin_cfg, frozen_stages=4))
