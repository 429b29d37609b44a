# UM-MAE's PVT config cannot run as released (ummae: a missing module, private paths); this is its
# Swin recipe with that backbone.
_base_ = [
    './gfl_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px.py',
    '../_base_/backbones/ummae_pvt_dense.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.ummae_pvt_cfg),
    neck=[
        {**_base_.model.neck[0], 'in_channels': _base_.pvt_dims},
        _base_.model.neck[1],
    ],
)
