# Swin's Mask R-CNN 1x for Swin-T: drop path 0.1
# (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011,
# configs/swin/mask_rcnn_swin_tiny_patch4_window7_mstrain_480-800_adamw_1x_coco.py).
_base_ = [
    '../../_base_/models/mask_rcnn.py',
    '../../_base_/datasets/coco_ms_crop_800px.py',
    '../../_base_/schedules/adamw_step_12e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone={**_base_.swin_cfg, 'drop_path_rate': 0.1})
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-swin-12e', version='1', tier='full')
