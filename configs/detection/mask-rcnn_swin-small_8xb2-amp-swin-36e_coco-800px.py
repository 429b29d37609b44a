# mmdet 3.3's file for Swin-S keeps Swin-T's drop path.
_base_ = './mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px.py'
model = dict(backbone=dict(arch='small'))
