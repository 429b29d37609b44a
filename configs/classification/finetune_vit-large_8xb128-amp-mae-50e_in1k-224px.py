# MAE's recipe for ViT-L (facebookresearch/mae@efb2a80, FINETUNE.md): 1e-3 * batch / 256, 50 epochs.
_base_ = './finetune_vit-base_8xb128-amp-mae-100e_in1k-224px.py'
base_lr = 1e-3
model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2),
    neck=dict(in_dims=1024),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size),
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
train_cfg = dict(max_epochs=50)
protocol = dict(name='in1k-ft-mae-50e-vit-large')
