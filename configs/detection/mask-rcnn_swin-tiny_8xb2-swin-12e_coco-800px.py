# Swin's Mask R-CNN 1x (mmdet 3.3, mask-rcnn_swin-t-p4-w7_fpn_1x): one size, (1333, 800), fp32.
_base_ = [
    '../_base_/models/mask_rcnn.py',
    '../_base_/datasets/coco_fixed_800px.py',
    '../_base_/schedules/adamw_step_12e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone=_base_.swin_cfg)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-swin-12e', version='1', tier='full')
