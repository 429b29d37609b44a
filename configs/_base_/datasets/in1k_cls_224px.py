# Fine-tuning on ImageNet with timm's augmentation, as facebookresearch/mae@efb2a80,
# microsoft/SimMIM@d3e29bc, TencentARC/ConMIM@4263955, implus/UM-MAE@cb7776b and LocalMIM's Swin
# (Haoqing-Wang/LocalMIM@314a6e5) build it: RandAugment, and erasing after normalisation, in
# training; resize 256, centre crop 224 in testing.
data_root = 'data/imagenet/'
data_preprocessor = dict(
    type='mim_bench.ClsDataPreprocessor',
    num_classes=1000,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow', interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='mim_bench.RandAugment',
        policy='rand-m9-mstd0.5-inc1',
        fill=(124, 116, 104),
        interpolation='bicubic',
    ),
    dict(type='mim_bench.RandomErasing', prob=0.25, area=(0.02, 1 / 3), min_aspect=0.3),
    dict(type='PackInputs', algorithm_keys=['erased']),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow', interpolation='bicubic'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=128,
    num_workers='auto',
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageNet', data_root=data_root, split='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=64,
    num_workers='auto',
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='ImageNet', data_root=data_root, split='val', pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mim_bench.Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
