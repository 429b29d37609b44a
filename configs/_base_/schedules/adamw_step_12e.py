# AdamW for 16 images, two steps: Swin's detectors
# (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011, configs/swin): 500 iterations of
# warm-up, steps at epochs 8 and 11. czczup/ViT-Adapter@fd64a51's HTC++ has the same optimiser.
max_epochs = 12
base_lr = 1e-4
base_batch_size = effective_batch_size = 16
lr_scaling = 'linear'
warmup_iters = 500
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    # By name there: 'norm' has no decay, batch norms of heads are called 'bn' and have it.
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        no_decay_names=('relative_position_bias_table',),
        custom_keys={'.bn.': dict(decay_mult=1.0)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
