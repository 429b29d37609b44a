# SimMIM, Swin-B, windows of 6 (mmpretrain 1.2.0,
# configs/simmim/simmim_swin-base-w6_16xb128-amp-coslr-800e_in1k-192px.py): 16 GPUs x 128 = 2048.
# The rate falls by a step, whatever mmpretrain's name says.
_base_ = './simmim_swin-base_8xb256-amp-coslr-100e_in1k-192px.py'
base_lr = 1e-4
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=5e-3, begin=0, end=10, convert_to_iter_based=True),
    dict(type='MultiStepLR', milestones=[700], begin=10, end=800, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-simmim-800e')
pretraining = dict(epochs=800)
