# The same for BEiT-L (BEiT v1, microsoft/unilm, its mmseg config of L that ends in _pt2ft).
_base_ = './upernet_beit-vit-base_8xb2-amp-beitft-160k_ade20k-512px.py'
base_lr = 2e-5
model = dict(
    backbone=dict(arch='large', out_indices=(7, 11, 15, 23), layer_scale=1e-6, drop_path_rate=0.2),
    neck=dict(embed_dims=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.95))
