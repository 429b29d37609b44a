# The same recipe for UM-MAE's Swin-L; inferred: no config was released. Drop path as in its
# fine-tuning on ImageNet-1K.
_base_ = './upernet_ummae-swin-tiny_8xb2-amp-ummae-160k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2),
    neck=dict(in_channels=[192, 384, 768, 1536]),
)
