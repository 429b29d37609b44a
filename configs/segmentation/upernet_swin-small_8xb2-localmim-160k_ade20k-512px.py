# The same recipe for Swin-S; inferred: no config was released.
_base_ = './upernet_swin-base_8xb2-localmim-160k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='small'),
    decode_head=dict(in_channels=[96, 192, 384, 768]),
    auxiliary_head=dict(in_channels=384),
)
