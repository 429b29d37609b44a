# Swin's detectors (arXiv:2103.14030, A2.2: AdamW 1e-4, weight decay 0.05, 16 images), as mmdet 3.3
# trains its mask-rcnn_swin-t-p4-w7_fpn_1x: 1,000 iterations of warm-up, steps at 8 and 11.
max_epochs = 12
base_lr = 1e-4
base_batch_size = effective_batch_size = 16
lr_scaling = 'linear'
warmup_iters = 1000
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    # By name as the source: norms inside of convolution modules are called bn, and are decayed.
    paramwise_cfg=dict(
        custom_keys={
            'norm': dict(decay_mult=0.0),
            'pos_embed': dict(decay_mult=0.0),
            'relative_position_bias_table': dict(decay_mult=0.0),
        }
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
