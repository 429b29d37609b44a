# The half-length schedule of ViT-Adapter's HTC++ (arXiv:2205.08534, table 8), which is also what
# that table states for UM-MAE's and other Swin-L.
_base_ = [
    '../_base_/models/htc_plus.py',
    '../_base_/datasets/coco_stuff_1400px.py',
    '../_base_/schedules/htc_steps_36e.py',
    '../_base_/backbones/swin_dense.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    # Drop path: inferred for this recipe.
    backbone=_base_.swin_cfg,
)
switches = dict(long_schedule=False)
when_on = dict(
    long_schedule=dict(
        set={
            'max_epochs': 72,
            'train_cfg.max_epochs': 72,
            'param_scheduler[MultiStepLR].end': 72,
            'param_scheduler[MultiStepLR].milestones': [63, 69],
        }
    )
)
protocol = dict(task='coco-htc-plus', name='coco-htc-plus-vitadapter-36e', version='1', tier='full')
