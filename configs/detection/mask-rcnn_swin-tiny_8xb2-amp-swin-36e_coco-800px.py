# Swin's Mask R-CNN 3x, multi-scale with crops (mmdet 3.3,
# mask-rcnn_swin-t-p4-w7_fpn_amp-ms-crop-3x). LocalMIM released no detection code; that it used this
# is an assumption: not the authors' recipe.
_base_ = [
    '../_base_/models/mask_rcnn.py',
    '../_base_/datasets/coco_ms_crop_800px.py',
    '../_base_/schedules/adamw_step_36e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone=_base_.swin_cfg)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-swin-36e', version='1', tier='full')
