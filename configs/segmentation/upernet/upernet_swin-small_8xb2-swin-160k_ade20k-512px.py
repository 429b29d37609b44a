# Swin's UPerNet for Swin-S (SwinTransformer/Swin-Transformer-Semantic-Segmentation@87e6f90,
# configs/swin/upernet_swin_small_patch4_window7_512x512_160k_ade20k.py).
_base_ = './upernet_swin-tiny_8xb2-swin-160k_ade20k-512px.py'
model = dict(backbone=dict(arch='small'))
