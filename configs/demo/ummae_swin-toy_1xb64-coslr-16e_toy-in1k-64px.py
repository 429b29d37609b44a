# UM-MAE on the embedded digits: three stages, mask patches of 8 px on 64 px images, so a token of
# the last stage stands for 2x2 visible patches, as in the real thing.
_base_ = '../pretrain/ummae/ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py'
data_root = 'data/toy/imagenet/'
base_lr = 8e-3
effective_batch_size = 64
arch = dict(_delete_=True, embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4), posmlp_dims=16)
model = dict(
    backbone=dict(arch=arch, window_size=8, mask_patch_size=8, out_indices=(2,)),
    neck=dict(in_dims=128, num_patches=64, patch_size=8, embed_dims=64, depth=1, num_heads=4),
    # Normalised targets would make the noise of flat grounds as important as the strokes.
    head=dict(patch_size=8, norm_pix=False),
)
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
train_pipeline = [
    *load_and_crop,
    dict(type='mim_bench.UniformMask', input_size=64, mask_patch_size=8, secondary_ratio=0.25),
    dict(type='PackInputs', algorithm_keys=['mask', 'hidden']),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=64, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=64),
    dict(type='PackInputs'),
]
dataset = dict(type='CustomDataset', data_root=data_root)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(_delete_=True, **dataset, data_prefix='train', pipeline=train_pipeline),
)
probe_loader = dict(
    batch_size=64,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='mim_bench.KnnHook',
        bank_dataloader=dict(
            **probe_loader, dataset=dict(**dataset, data_prefix='train', pipeline=test_pipeline)
        ),
        query_dataloader=dict(
            **probe_loader, dataset=dict(**dataset, data_prefix='val', pipeline=test_pipeline)
        ),
        pooling='gap',
        interval=8,
    ),
    dict(type='mim_bench.ReconstructionHook', interval=8),
]
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer={
        **_base_.optim_wrapper.optimizer,
        'lr': base_lr * effective_batch_size / 256,
    },
    paramwise_cfg=_base_.optim_wrapper.paramwise_cfg,
)
param_scheduler = dict(warmup_epochs=2)
train_cfg = dict(max_epochs=16)
protocol = dict(name='toy-pretrain-ummae', tier='smoke')
pretraining = dict(data='toy-in1k', epochs=16)
