# The same recipe for ViT-S; inferred: no config was released. Heads as wide as the backbone, as in
# BEiT's configs of B and L.
_base_ = './upernet_vit-base_8xb2-amp-localmim-160k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='small'),
    neck=dict(embed_dims=384),
    decode_head=dict(in_channels=[384, 384, 384, 384], channels=384),
    auxiliary_head=dict(in_channels=384),
)
