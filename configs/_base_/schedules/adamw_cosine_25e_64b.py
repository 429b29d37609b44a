# Benchmarking-ViT (arXiv:2111.11429; hustvl/MIMDet@fb0aaa1, mc-BEiT): AdamW 8e-5 for 64 images,
# weight decay 0.1 (none for norms and positions; biases are decayed), no layer decay, warm-up of
# a quarter epoch, cosine to 0, fp16. Differs: the warm-up starts at 0, not at a thousandth, and
# the cosine begins behind it.
base_lr = 8e-5
base_batch_size = effective_batch_size = 64
lr_scaling = 'linear'
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(
        norm_decay_mult=0.0, no_decay_names=('pos_embed', 'relative_position_bias_table')
    ),
)
# It ends with the training.
param_scheduler = dict(
    type='mim_bench.WarmupCosineLR', warmup_epochs=0.25, min_lr=0.0, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=25, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
