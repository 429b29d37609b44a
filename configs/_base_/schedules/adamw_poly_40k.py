# This project's own, for linear probes: as for 160,000 iterations, with a weight decay of 1e-4.
_base_ = './adamw_poly_160k.py'
base_lr = 1e-3
max_iters = 40000
optim_wrapper = dict(optimizer=dict(lr=base_lr, weight_decay=1e-4))
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_iters)]
train_cfg = dict(max_iters=max_iters, val_interval=10000)
