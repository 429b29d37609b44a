# The SimMIM baseline of UM-MAE (implus/UM-MAE@cb7776b, Makefile): its own Swin-T with windows of 16
# and UM-MAE's optimiser; 8 GPUs x 64 images x 8 accumulated = 4096.
_base_ = './simmim_swin-tiny_8xb64-accum8-amp-coslr-200e_in1k-256px.py'
model = dict(backbone=dict(_delete_=True, type='mim_bench.UMMAESimMIMSwin', arch='tiny'))
