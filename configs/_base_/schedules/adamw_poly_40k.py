# This project's own, for linear probes: as for 160,000 iterations, with a weight decay of 1e-4.
_base_ = './adamw_poly_160k.py'
base_lr = 1e-3
max_iters = 40000
optim_wrapper = dict(optimizer=dict(lr=base_lr, weight_decay=1e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=_base_.warmup_iters),
    dict(
        type='PolyLR',
        power=1.0,
        eta_min=0.0,
        by_epoch=False,
        begin=_base_.warmup_iters,
        end=max_iters,
    ),
]
train_cfg = dict(max_iters=max_iters, val_interval=10000)
