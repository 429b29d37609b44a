# UM-MAE, PVT-S (implus/UM-MAE@cb7776b, PRETRAIN.md): 8 GPUs x 128 images x 4 accumulated = 4096.
_base_ = './ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py'
model = dict(
    backbone=dict(type='mim_bench.UMMAEPretrainPvt', arch='small', img_size=256),
    neck=dict(in_dims=512),
)
