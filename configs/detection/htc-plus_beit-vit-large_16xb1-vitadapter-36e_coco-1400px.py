# The same for checkpoints with relative positions (BEiT, ConMIM).
_base_ = './htc-plus_vit-large_16xb1-vitadapter-36e_coco-1400px.py'
model = dict(
    backbone=dict(abs_pos='none', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=1e-5),
)
