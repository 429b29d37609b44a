# Swin's Cascade Mask R-CNN 3x (arXiv:2103.14030, A2.2). Its data and schedule are those of the
# Mask R-CNN here; Swin's own files were not read: drop path is inferred.
_base_ = [
    '../_base_/models/cascade_mask_rcnn.py',
    '../_base_/datasets/coco_ms_crop_800px.py',
    '../_base_/schedules/adamw_step_36e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone=_base_.swin_cfg)
protocol = dict(
    task='coco-cascade-mask-rcnn', name='coco-cascade-mask-rcnn-swin-36e', version='1', tier='full'
)
