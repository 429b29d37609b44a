# SimMIM, Swin-B, windows of 6 (microsoft/SimMIM@d3e29bc,
# configs/swin_base__800ep/simmim_pretrain__swin_base__img192_window6__800ep.yaml): 16 GPUs x 128 =
# 2048. The rate falls by a step.
_base_ = './simmim_swin-base_8xb256-amp-coslr-100e_in1k-192px.py'
base_lr = 1e-4
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size)
)
param_scheduler = dict(
    _delete_=True,
    type='mim_bench.TimmMultiStepLR',
    warmup_epochs=10,
    warmup_lr=5e-7 * _base_.effective_batch_size / _base_.base_batch_size,
    milestones=[700],
    gamma=0.1,
    convert_to_iter_based=True,
)
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-simmim-800e')
pretraining = dict(epochs=800)
