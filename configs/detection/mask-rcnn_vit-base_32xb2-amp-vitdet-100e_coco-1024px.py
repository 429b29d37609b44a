# ViTDet for ViT-B. The settings are general knowledge, see the bases.
_base_ = [
    '../_base_/models/mask_rcnn_vitdet.py',
    '../_base_/datasets/coco_lsj_1024px.py',
    '../_base_/schedules/adamw_step_100e_64b.py',
    '../_base_/backbones/vitdet.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone=_base_.vitdet_cfg)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-vitdet-100e', version='1', tier='full')
