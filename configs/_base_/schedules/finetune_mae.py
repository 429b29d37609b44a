# MAE's fine-tuning of ViT-B (facebookresearch/mae@efb2a80, FINETUNE.md, util/lr_decay.py and
# lr_sched.py): lr = 5e-4 * batch / 256, layer decay, 5 epochs of warm-up, cosine to 1e-6. The other
# recipes state what differs.
base_lr = 5e-4
base_batch_size = 256
effective_batch_size = 1024
lr_scaling = 'linear'
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(
        type='AdamW',
        lr=base_lr * effective_batch_size / base_batch_size,
        betas=(0.9, 0.999),
        weight_decay=0.05,
    ),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        layer_decay_rate=0.65,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        no_decay_names=('pos_embed', 'cls_token'),
    ),
)
# It ends with the training; the floor is scaled by layer decay as the rate is.
param_scheduler = dict(
    type='mim_bench.WarmupCosineLR', warmup_epochs=5, min_lr=1e-6, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=100, val_interval=1)
val_cfg = dict()
test_cfg = dict()
