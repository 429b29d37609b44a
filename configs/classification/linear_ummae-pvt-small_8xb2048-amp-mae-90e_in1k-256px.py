# The same for UM-MAE's PVT-S.
_base_ = './linear_ummae-swin-tiny_8xb2048-amp-mae-90e_in1k-256px.py'
model = dict(
    backbone=dict(type='mim_bench.UMMAEPvt', arch='small'),
    neck=[_base_.model.neck[0], {**_base_.model.neck[1], 'input_features': 512}],
    head=dict(in_channels=512),
)
protocol = dict(name='in1k-linear-mae-90e-ummae-pvt-small')
