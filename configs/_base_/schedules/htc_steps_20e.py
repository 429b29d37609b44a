# 20 epochs with steps at 16 and 19 as mmdet 3.3 trains HTC, with the optimiser that Swin's
# paper states for COCO (arXiv:2103.14030, A2.2): AdamW 1e-4, weight decay 0.05, 16 images.
max_epochs = 20
base_lr = 1e-4
base_batch_size = effective_batch_size = 16
lr_scaling = 'linear'
warmup_iters = 500
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    # General knowledge of Swin's detection code: no decay of norms and bias tables.
    paramwise_cfg=dict(norm_decay_mult=0.0, no_decay_names=('relative_position_bias_table',)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[16, 19], gamma=0.1
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
