# The same probes for the standard Swin.
_base_ = [
    './probe_ummae-swin-toy_1xb64_toy-in1k-64px.py',
    '../_base_/backbones/swin_toy.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        out_norms=True,
    ),
)
