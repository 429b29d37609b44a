# Swin's Mask R-CNN 3x for Swin-S, with Swin-T's drop path
# (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011,
# configs/swin/mask_rcnn_swin_small_patch4_window7_mstrain_480-800_adamw_3x_coco.py).
_base_ = './mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px.py'
model = dict(backbone=dict(arch='small'))
