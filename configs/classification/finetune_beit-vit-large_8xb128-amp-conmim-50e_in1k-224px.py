# Inferred: ConMIM's repository states no recipe for ViT-L; this is BEiT's with ConMIM's
# normalisation.
_base_ = './finetune_beit-vit-base_8xb128-amp-conmim-100e_in1k-224px.py'
base_lr = 1e-3
model = dict(
    backbone=dict(arch='large', layer_scale=1e-5, drop_path_rate=0.2),
    neck=dict(in_dims=1024),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size),
    paramwise_cfg=dict(layer_decay_rate=0.75),
)
param_scheduler = dict(warmup_epochs=5)
train_cfg = dict(max_epochs=50)
protocol = dict(name='in1k-ft-conmim-50e')
