# UM-MAE's released detector: GFL, boxes only (implus/UM-MAE@cb7776b, its mmdet config). It starts
# from weights that were fine-tuned on ImageNet-1K after pre-training.
_base_ = [
    '../../_base_/models/gfl.py',
    '../../_base_/datasets/coco_lsj_1024px.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
max_epochs = 25
base_lr = 1e-4
base_batch_size = effective_batch_size = 16
lr_scaling = 'linear'
warmup_iters = 2000
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
    type='AmpOptimWrapper',
    loss_scale=dict(init_scale=512),
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
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
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    # A step an epoch.
    dict(
        type='CosineAnnealingLR',
        eta_min=base_lr * 0.01,
        by_epoch=True,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
protocol = dict(task='coco-gfl', name='coco-gfl-ummae-25e', version='1', tier='full')
