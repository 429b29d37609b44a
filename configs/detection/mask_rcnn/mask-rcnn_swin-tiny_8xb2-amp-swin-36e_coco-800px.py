# Swin's Mask R-CNN 3x for Swin-T (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011,
# configs/swin/mask_rcnn_swin_tiny_patch4_window7_mstrain_480-800_adamw_3x_coco.py).
_base_ = [
    '../../_base_/models/mask_rcnn.py',
    '../../_base_/datasets/coco_ms_crop_800px.py',
    '../../_base_/schedules/adamw_step_36e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone=_base_.swin_cfg)
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-swin-36e', version='1', tier='full')
