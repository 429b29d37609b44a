# Inferred: Swin-T's settings, drop path included, as mmdet 3.3 has them for Swin-S in 36 epochs.
_base_ = './mask-rcnn_swin-tiny_8xb2-swin-12e_coco-800px.py'
model = dict(backbone=dict(arch='small'))
