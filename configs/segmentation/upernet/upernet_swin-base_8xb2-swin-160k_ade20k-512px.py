# Swin's UPerNet for Swin-B (SwinTransformer/Swin-Transformer-Semantic-Segmentation@87e6f90,
# configs/swin/upernet_swin_base_patch4_window7_512x512_160k_ade20k.py), which is LocalMIM's for
# Swin-B too (Haoqing-Wang/LocalMIM@314a6e5, its mmseg config).
_base_ = './upernet_swin-tiny_8xb2-swin-160k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='base'),
    decode_head=dict(in_channels=[128, 256, 512, 1024]),
    auxiliary_head=dict(in_channels=512),
)
