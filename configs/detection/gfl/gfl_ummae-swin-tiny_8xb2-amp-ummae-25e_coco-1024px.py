# UM-MAE's released detector: GFL, boxes only (implus/UM-MAE@cb7776b, its mmdet config). It starts
# from weights that were fine-tuned on ImageNet-1K after pre-training.
_base_ = [
    '../../_base_/models/gfl.py',
    '../../_base_/datasets/coco_lsj_1024px.py',
    '../../_base_/schedules/adamw_coslr_25e.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    data_preprocessor=dict(
        # In training only.
        batch_augments=[dict(type='BatchFixedSizePad', size=_base_.image_size)]
    ),
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(1, 2, 3), drop_path_rate=0.1
    ),
)
train_pipeline = [
    {**step, 'with_mask': False} if step['type'] == 'LoadAnnotations' else step
    for step in _base_.train_pipeline
]
changes_cfg = dict(Resize=dict(scale=(1333, 800)), LoadAnnotations=dict(with_mask=False))
test_pipeline = [{**step, **changes_cfg.get(step['type'], {})} for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric='bbox')
test_evaluator = val_evaluator
optim_wrapper = dict(
    loss_scale=dict(_delete_=True, init_scale=512),
    # By name as there, where the norms of the projections are not called so: their weights are
    # decayed.
    paramwise_cfg=dict(
        custom_keys={
            'pos_embed': dict(decay_mult=0.0),
            'norm': dict(decay_mult=0.0),
            'bias': dict(decay_mult=0.0),
            **{f'neck.0.norms.{stage}.weight': dict(decay_mult=1.0) for stage in range(3)},
        }
    ),
)
param_scheduler = [
    _base_.param_scheduler[0],
    # A step an epoch.
    dict(
        type='CosineAnnealingLR',
        eta_min=_base_.base_lr * 0.01,
        by_epoch=True,
        begin=0,
        end=_base_.max_epochs,
        T_max=_base_.max_epochs,
    ),
]
protocol = dict(task='coco-gfl', name='coco-gfl-ummae-25e', version='1', tier='full')
