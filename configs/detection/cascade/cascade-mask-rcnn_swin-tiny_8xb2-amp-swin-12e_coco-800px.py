# Swin's Cascade Mask R-CNN 1x for Swin-T: no drop path
# (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011, configs/swin/
# cascade_mask_rcnn_swin_tiny_patch4_window7_mstrain_480-800_giou_4conv1f_adamw_1x_coco.py).
_base_ = [
    '../../_base_/models/cascade_mask_rcnn.py',
    '../../_base_/datasets/coco_ms_crop_800px.py',
    '../../_base_/schedules/adamw_step_12e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone={**_base_.swin_cfg, 'drop_path_rate': 0.0})
optim_wrapper = dict(type='AmpOptimWrapper', loss_scale='dynamic')
protocol = dict(
    task='coco-cascade-mask-rcnn', name='coco-cascade-mask-rcnn-swin-12e', version='1', tier='full'
)
