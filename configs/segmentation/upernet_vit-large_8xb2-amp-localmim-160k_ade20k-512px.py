# The same recipe for ViT-L; inferred: no config was released. Layer decay and drop path as in
# LocalMIM's fine-tuning of ViT-L on ImageNet-1K, taps as in its pre-training, heads as wide as the
# backbone, as in BEiT's config of L.
_base_ = './upernet_vit-base_8xb2-amp-localmim-160k_ade20k-512px.py'
model = dict(
    backbone=dict(arch='large', out_indices=(1, 3, 21, 23), drop_path_rate=0.2),
    neck=dict(embed_dims=1024),
    decode_head=dict(in_channels=[1024, 1024, 1024, 1024], channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.75))
