# Inferred: Swin-T's settings.
_base_ = './cascade-mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px.py'
model = dict(backbone=dict(arch='small'))
