# Pre-training on the embedded digits at 64 px: 5 epochs of batches of 32 in float32, with
# pictures on the way. A recipe adds its model, mask and rate.
_base_ = [
    '../datasets/in1k_mim_256px.py',
    '../schedules/adamw_coslr_mim.py',
    '../default_runtime.py',
]
default_scope = 'mmpretrain'
data_root = 'data/toy/imagenet/'
effective_batch_size = 32
load_and_crop = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=64,
        crop_ratio_range=(0.6, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=64, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]
dataset = dict(type='CustomDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, **dataset, data_prefix='train', pipeline=load_and_crop),
)
probe_loader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
# A recipe that measures k-NN on the way appends it to custom_hooks.
knn_hook_cfg = dict(
    type='mim_bench.KnnHook',
    bank_dataloader=dict(
        **probe_loader, dataset=dict(**dataset, data_prefix='train', pipeline=test_pipeline)
    ),
    query_dataloader=dict(
        **probe_loader, dataset=dict(**dataset, data_prefix='val', pipeline=test_pipeline)
    ),
    pooling='gap',
    interval=8,
)
custom_hooks = [*_base_.custom_hooks, dict(type='mim_bench.ReconstructionHook', interval=8)]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=_base_.optim_wrapper.optimizer,
    paramwise_cfg=_base_.optim_wrapper.paramwise_cfg,
)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=5)
protocol = dict(task='pretrain', version='1', tier='smoke')
pretraining = dict(data='toy-in1k', epochs=5)
