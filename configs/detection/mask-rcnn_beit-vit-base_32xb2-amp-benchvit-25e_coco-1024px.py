# Benchmarking-ViT for BEiT's kind of ViT (mc-BEiT's detection code; inferred: ConMIM's, too): one
# table of relative positions for the windows and one for the whole map, fitted by bicubic
# interpolation, and learned absolute positions that start at 0.
_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
model = dict(backbone=dict(abs_pos='zeros', rel_pos_bias='shared', qkv_bias='qv', layer_scale=0.1))
