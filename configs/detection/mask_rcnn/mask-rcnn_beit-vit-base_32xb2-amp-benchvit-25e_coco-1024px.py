# Benchmarking-ViT for BEiT's kind of ViT-B (lixiaotong97/mc-BEiT@6d92c3c,
# detection/configs/benchmarking/benchmarking_mask_rcnn_base_FPN_25ep_LSJ_mc-beit.py): learned
# positions from zeros, no bias for the keys, layer scale 0.1; the tables of relative positions are
# those of pre-training, fitted bicubically. That ConMIM's COCO numbers come from it is inferred.
_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
model = dict(
    backbone=dict(abs_pos='zeros', recompute_positions=False, qkv_bias='qv', layer_scale=0.1)
)
protocol = dict(name='coco-mask-rcnn-benchvit-25e-beit-vit-base')
