# implus/UM-MAE@cb7776b, pre-training: crop, flip, normalise; no colour jitter.
data_root = 'data/imagenet/'
data_preprocessor = dict(
    type='SelfSupDataPreprocessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)
load_and_crop = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=256,
        crop_ratio_range=(0.2, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    *load_and_crop,
    dict(type='mim_bench.UniformMask', input_size=256, mask_patch_size=16, secondary_ratio=0.25),
    dict(type='PackInputs', algorithm_keys=['mask', 'hidden']),
]
train_dataloader = dict(
    batch_size=128,
    num_workers='auto',
    persistent_workers=True,
    drop_last=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='ImageNet',
        data_root=data_root,
        split='train',
        pipeline=train_pipeline,
    ),
)
pretraining = dict(data='in1k')
