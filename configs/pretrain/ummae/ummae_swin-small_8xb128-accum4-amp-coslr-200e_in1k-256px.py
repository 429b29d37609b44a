# UM-MAE, Swin-S: 8 GPUs x 128 images x 4 accumulated = 4096.
# Inferred: that repository has no Swin-S; everything as for Swin-T.
_base_ = './ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py'
model = dict(backbone=dict(arch='small'))
