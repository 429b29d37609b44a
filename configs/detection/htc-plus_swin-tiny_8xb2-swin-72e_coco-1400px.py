# HTC++ of Swin's paper (arXiv:2103.14030, A2.2), put together in the open; docs/htc-plus-plus.md
# says which setting is stated by whom.
_base_ = [
    '../_base_/models/htc_plus.py',
    '../_base_/datasets/coco_stuff_1400px.py',
    '../_base_/schedules/htc_steps_72e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    # Drop path: inferred for this recipe.
    backbone=_base_.swin_cfg,
)
switches = dict(long_schedule=True)
when_off = dict(
    long_schedule=dict(
        set={
            'max_epochs': 36,
            'train_cfg.max_epochs': 36,
            'param_scheduler[MultiStepLR].end': 36,
            'param_scheduler[MultiStepLR].milestones': [27, 33],
        }
    )
)
protocol = dict(task='coco-htc-plus', name='coco-htc-plus-swin-72e', version='1', tier='full')
