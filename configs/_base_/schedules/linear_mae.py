# MAE's linear probe (facebookresearch/mae@efb2a80, FINETUNE.md, main_linprobe.py and util/lars.py):
# LARS, lr = 0.1 * batch / 256 = 6.4, no weight decay, 10 epochs of warm-up, cosine to 0.
base_lr = 0.1
base_batch_size = 256
effective_batch_size = 16384
lr_scaling = 'linear'
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='mim_bench.LARS',
        lr=base_lr * effective_batch_size / base_batch_size,
        momentum=0.9,
        weight_decay=0.0,
    ),
    # It leaves frozen parameters out.
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
)
param_scheduler = dict(
    type='mim_bench.WarmupCosineLR', warmup_epochs=10, min_lr=0.0, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=90, val_interval=1)
val_cfg = dict()
test_cfg = dict()
