# LocalMIM's recipe for ViT-L (Haoqing-Wang/LocalMIM@314a6e5, README); 8 GPUs x 64 images x 2
# accumulated = 1024.
_base_ = './finetune_vit-base_8xb128-amp-localmim-100e_in1k-224px.py'
base_lr = 3e-3
model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2),
    neck=dict(in_dims=1024),
    head=dict(in_channels=1024),
)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(
    accumulative_counts=2,
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size),
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
param_scheduler = dict(warmup_epochs=5, min_lr=1e-6)
train_cfg = dict(max_epochs=50)
protocol = dict(name='in1k-ft-localmim-50e')
