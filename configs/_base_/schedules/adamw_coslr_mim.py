# What MAE and its descendants share (facebookresearch/mae@efb2a80, main_pretrain.py): AdamW,
# warm-up from 0 and half a cosine at every iteration, fp16. The numbers are UM-MAE's
# (implus/UM-MAE@cb7776b, PRETRAIN.md); a recipe overrides what differs.
base_lr = 1.5e-4
base_batch_size = 256
effective_batch_size = 4096
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    accumulative_counts=4,
    optimizer=dict(
        type='AdamW',
        lr=base_lr * effective_batch_size / base_batch_size,
        betas=(0.9, 0.95),
        weight_decay=0.05,
    ),
    # One-dimensional parameters and biases are not decayed; tokens and tables are.
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
# It ends with the training.
param_scheduler = dict(
    type='mim_bench.WarmupCosineLR', warmup_epochs=10, min_lr=0.0, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=200)
