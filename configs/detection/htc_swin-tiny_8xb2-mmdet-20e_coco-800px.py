# The same with the stuff branch.
_base_ = [
    '../_base_/models/htc.py',
    '../_base_/datasets/coco_stuff_800px.py',
    '../_base_/schedules/htc_steps_20e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    # Drop path: inferred for this recipe.
    backbone=_base_.swin_cfg,
)
protocol = dict(task='coco-htc', name='coco-htc-mmdet-20e', version='1', tier='full')
