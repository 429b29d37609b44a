# HTC as mmdet 3.3 trains it, with a Swin in place of the ResNet and its optimiser.
_base_ = [
    '../_base_/models/htc_no_stuff.py',
    '../_base_/datasets/coco_fixed_800px.py',
    '../_base_/schedules/htc_steps_20e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    # Drop path: inferred for this recipe.
    backbone=_base_.swin_cfg,
)
protocol = dict(
    task='coco-htc-no-stuff', name='coco-htc-no-stuff-mmdet-20e', version='1', tier='full'
)
