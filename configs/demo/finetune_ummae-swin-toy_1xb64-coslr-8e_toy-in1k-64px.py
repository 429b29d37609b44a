# Fine-tuning on the embedded digits: the recipe's head and layer decay, a short schedule without
# mixing of images, which needs more epochs than a demo has.
_base_ = '../classification/finetune_ummae-swin-tiny_8xb64-accum2-amp-ummae-100e_in1k-256px.py'
data_root = 'data/toy/imagenet/'
base_lr = 4e-3
effective_batch_size = 64
num_classes = 10
arch = dict(_delete_=True, embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4), posmlp_dims=16)
model = dict(
    backbone=dict(arch=arch, window_size=8, out_indices=(2,), drop_path_rate=0.0),
    neck=dict(in_dims=128),
    head=dict(num_classes=num_classes, in_channels=128),
    train_cfg=None,
)
data_preprocessor = dict(num_classes=num_classes)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=64,
        crop_ratio_range=(0.6, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='PackInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=64, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]
dataset = dict(type='CustomDataset', data_root=data_root)
loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(
    **loader,
    dataset=dict(_delete_=True, **dataset, data_prefix='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader, dataset=dict(_delete_=True, **dataset, data_prefix='val', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer={
        **_base_.optim_wrapper.optimizer,
        'lr': base_lr * effective_batch_size / 256,
    },
    constructor=_base_.optim_wrapper.constructor,
    paramwise_cfg=_base_.optim_wrapper.paramwise_cfg,
)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=8, val_interval=4)
protocol = dict(name='toy-ft', tier='smoke')
