# SimMIM's fine-tuning of Swin-B (mmpretrain 1.2.0,
# configs/simmim/benchmarks/swin-base-w7_8xb256-coslr-100e_in1k.py): 1.25e-3 * batch / 512, floor
# 2.5e-7 * batch / 512, gradients clipped, tables of relative positions not decayed.
# Differs: the warm-up starts from 0, and the floor scales with the layer.
_base_ = './finetune_mae.py'
base_lr = 1.25e-3
base_batch_size = 512
effective_batch_size = 2048
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * effective_batch_size / base_batch_size),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(
        layer_decay_rate=0.9,
        no_decay_names=('pos_embed', 'cls_token', 'relative_position_bias_table'),
    ),
)
param_scheduler = dict(warmup_epochs=20, min_lr=2.5e-7 * effective_batch_size / base_batch_size)
