# UM-MAE's UPerNet for its PVT-S (implus/UM-MAE@cb7776b, its mmseg config).
_base_ = './upernet_ummae-swin-tiny_8xb2-amp-ummae-160k_ade20k-512px.py'
model = dict(
    backbone=dict(type='mim_bench.UMMAEPvt', arch='small', img_size=512),
    neck=dict(in_channels=[64, 128, 320, 512]),
)
protocol = dict(name='ade20k-upernet-ummae-160k-ummae-pvt-small')
