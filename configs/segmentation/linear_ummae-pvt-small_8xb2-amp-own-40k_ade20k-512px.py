# The same for UM-MAE's PVT-S.
_base_ = './linear_ummae-swin-tiny_8xb2-amp-own-40k_ade20k-512px.py'
model = dict(
    backbone=dict(type='mim_bench.UMMAEPvt', arch='small', img_size=512),
    neck=dict(in_channels=[64, 128, 320, 512]),
    decode_head=dict(in_channels=[64, 128, 320, 512], channels=1024),
)
