# HTC as mmdet 3.3 trains it (configs/htc/htc_r50_fpn_20e_coco.py) with Swin-T and its optimiser in
# place of ResNet and SGD. No source has this combination: it is inferred.
_base_ = [
    '../../_base_/models/htc.py',
    '../../_base_/datasets/coco_stuff_800px.py',
    '../../_base_/schedules/adamw_step_20e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(backbone=_base_.swin_cfg)
protocol = dict(task='coco-htc', name='coco-htc-mmdet-20e', version='1', tier='full')
