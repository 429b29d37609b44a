# ViTDet (arXiv:2203.16527) for ViT-B. General knowledge of detectron2's project, not read again:
# all of it. Its steps stand at 88.9 % and 96.3 % of the training, here at whole epochs.
max_epochs = 100
base_lr = 1e-4
base_batch_size = effective_batch_size = 64
lr_scaling = 'linear'
warmup_iters = 250
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(layer_decay_rate=0.7, norm_decay_mult=0.0, no_decay_names=('pos_embed',)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[89, 96], gamma=0.1
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
