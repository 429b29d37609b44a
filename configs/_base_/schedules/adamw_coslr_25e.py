# AdamW for 25 epochs: a linear warm-up, then half a cosine to a hundredth, as in UM-MAE's detector
# (implus/UM-MAE@cb7776b, its mmdet config). A recipe adds what is not decayed.
max_epochs = 25
base_lr = 1e-4
base_batch_size = effective_batch_size = 16
lr_scaling = 'linear'
warmup_iters = 2000
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type='CosineAnnealingLR',
        eta_min=base_lr * 0.01,
        begin=0,
        end=max_epochs,
        T_max=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
