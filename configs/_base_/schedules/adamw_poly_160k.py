# BEiT, MAE, LocalMIM and UM-MAE alike: AdamW, weight decay 0.05, warm-up of 1,500 iterations from
# a millionth, linear to 0, no clipping, batch 16. They leave out of the weight decay what has one
# dimension. Position and class tokens are decayed: the official rule compares their bare names,
# which in a segmentor start with `backbone.`; so are tables of relative positions.
base_lr = 1e-4
base_batch_size = 16
effective_batch_size = 16
lr_scaling = 'linear'
max_iters = 160000
warmup_iters = 1500
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        layer_decay_rate=1.0, norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=16000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
