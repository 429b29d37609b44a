# The SimMIM baseline of UM-MAE (implus/UM-MAE@cb7776b, Makefile) with its PVT-S; 8 GPUs x 128
# images x 4 accumulated = 4096.
_base_ = './simmim_ummae-swin-tiny_8xb64-accum8-amp-coslr-200e_in1k-256px.py'
model = dict(
    backbone=dict(type='mim_bench.UMMAESimMIMPvt', arch='small', img_size=256),
    neck=dict(in_channels=512),
)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(accumulative_counts=4)
