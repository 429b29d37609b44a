# Linear probe of BEiT's ViT-B on its last map, after the norm of pre-training.
_base_ = './linear_vit-base_8xb2-amp-own-40k_ade20k-512px.py'
model = dict(
    backbone=dict(abs_pos='none', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=0.1),
)
