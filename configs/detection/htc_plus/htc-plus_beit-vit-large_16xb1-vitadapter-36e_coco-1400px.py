# ViT-Adapter's HTC++ 3x for BEiT's kind of ViT-L (czczup/ViT-Adapter@fd64a51, detection/configs/
# htc++/htc++_beit_adapter_large_fpn_3x_coco.py): drop path 0.4, and 0.3 behind the backbone.
# Differs: a pyramid of rescaled maps in place of the adapter, and four global blocks in place of
# windows of 56. So its 58.4 / 50.8 are another network's.
_base_ = './htc-plus_vit-large_16xb1-vitadapter-36e_coco-1400px.py'
model = dict(
    backbone=dict(abs_pos='none', rel_pos_bias='per_block', qkv_bias='qv', layer_scale=1e-6),
)
