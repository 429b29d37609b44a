# LocalMIM's recipe for Swin-L (Haoqing-Wang/LocalMIM@314a6e5, README): 2e-3 for 8 GPUs x 32 images
# x 8 accumulated = 2048; windows of 14, in the last stage of its whole map, 7.
_base_ = './finetune_swin-base_8xb128-accum2-amp-localmim-100e_in1k-224px.py'
base_lr = 2e-3
model = dict(
    backbone=dict(arch='large', window_size=(14, 14, 14, 7), drop_path_rate=0.3),
    neck=dict(in_dims=1536),
    head=dict(in_channels=1536),
)
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(
    accumulative_counts=8,
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size),
    paramwise_cfg=dict(layer_decay_rate=0.8),
)
protocol = dict(name='in1k-ft-localmim-100e-swin-large')
