# The same probes for UM-MAE's PVT.
_base_ = [
    './probe_ummae-swin-toy_1xb64_toy-in1k-64px.py',
    '../_base_/backbones/ummae_pvt_toy.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        img_size=64,
        out_indices=(2,),
        final_norm=True,
    ),
)
