# UPerNet on ViT-L: rate, layer decay, drop path and taps of CAE's config of L; the rest inferred to
# be as in mmsegmentation's config for MAE, heads as wide as the backbone, as in BEiT's config of L.
_base_ = '../_base_/segmentation/upernet_vit_512px.py'
base_lr = 4e-5
model = dict(
    backbone=dict(arch='large', out_indices=(7, 11, 15, 23), drop_path_rate=0.15),
    neck=dict(embed_dims=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.95))
protocol = dict(name='ade20k-upernet-cae-160k')
