_base_ = './htc_swin-tiny_8xb2-mmdet-20e_coco-800px.py'
model = dict(backbone=dict(arch='small'))
