# MAE's linear probe (arXiv:2111.06377, appendix A.1; mmpretrain 1.2.0's MAE configs): LARS,
# lr = 0.1 * batch / 256 = 6.4, no weight decay, 10 epochs of warm-up, cosine to 0.
base_lr = 0.1
base_batch_size = 256
effective_batch_size = 16384
lr_scaling = 'linear'
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='LARS',
        lr=base_lr * effective_batch_size / base_batch_size,
        momentum=0.9,
        weight_decay=0.0,
    ),
    # It leaves frozen parameters out. Inferred: the bias has the plain rate, as mmpretrain's SimCLR
    # has it; its MAE configs scale it by its norm, which is 0 at first.
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(custom_keys=dict(bias=dict(lars_exclude=True))),
)
param_scheduler = dict(
    type='mim_bench.WarmupCosineLR', warmup_epochs=10, min_lr=0.0, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
