# The same for the standard Swin-B, windows of 7.
_base_ = './linear_swin-tiny_8xb2-amp-own-40k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='base', window_size=7),
    neck=dict(in_channels=[128, 256, 512, 1024]),
    decode_head=dict(in_channels=[128, 256, 512, 1024], channels=1920),
)
