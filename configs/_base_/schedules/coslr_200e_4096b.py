# implus/UM-MAE@cb7776b, PRETRAIN.md: AdamW, lr = 1.5e-4 * batch / 256, 10 epochs of warm-up,
# cosine to 0, fp16.
base_lr = 1.5e-4
effective_batch_size = 4096
max_epochs = 200
warmup_epochs = 10
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    accumulative_counts=4,
    optimizer=dict(
        type='AdamW',
        lr=base_lr * effective_batch_size / 256,
        betas=(0.9, 0.95),
        weight_decay=0.05,
    ),
    # One-dimensional parameters and biases are not decayed; tokens and the position MLP are.
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=1e-9,
        begin=0,
        end=warmup_epochs,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        eta_min=0.0,
        begin=warmup_epochs,
        end=max_epochs,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
