# LocalMIM, Swin-L with windows of 14, HOG (Haoqing-Wang/LocalMIM@314a6e5, README): 8 GPUs x 128
# images x 4 accumulated = 4096.
_base_ = './localmim_swin-base_8xb256-amp-coslr-400e_in1k-224px.py'
effective_batch_size = 4096
model = dict(
    backbone=dict(arch='large', window_size=14),
    neck=dict(in_dims=[384, 768, 1536, 1536]),
)
train_dataloader = dict(batch_size=128, collate_fn=dict(window_sizes=[14, 14, 14, 7]))
optim_wrapper = dict(
    accumulative_counts=4, optimizer=dict(lr=_base_.base_lr * effective_batch_size / 256)
)
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-localmim-800e')
pretraining = dict(epochs=800)
