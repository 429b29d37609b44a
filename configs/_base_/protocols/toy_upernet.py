# UPerNet on the embedded scenes: the photograph and ten digits.
_base_ = ['./ade20k_upernet.py', './toy_dense.py']
data_root = 'data/toy/ade/ADEChallengeData2016/'
crop_size = (128, 128)
base_lr = 5e-3
base_batch_size = 4
effective_batch_size = 4
max_iters = 200
warmup_iters = 40
num_classes = 11
# Nine pixels in ten are photograph; without weights a short training finds nothing else.
class_weight = [0.1] + [1.0] * 10
model = dict(
    data_preprocessor=dict(size=crop_size),
    decode_head=dict(
        in_channels=[48] * 3,
        in_index=[0, 1, 2],
        channels=48,
        num_classes=num_classes,
        loss_decode=dict(class_weight=class_weight),
    ),
    auxiliary_head=dict(
        in_channels=48,
        channels=32,
        num_classes=num_classes,
        loss_decode=dict(class_weight=class_weight),
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
data_preprocessor = dict(size=crop_size)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(160, 128), ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.95),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 128), keep_ratio=True),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
# Without flips: a mirrored digit is no digit.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(160 * ratio), int(128 * ratio)), keep_ratio=True)
                for ratio in (0.75, 1.0, 1.25)
            ],
            [dict(type='LoadAnnotations', reduce_zero_label=True)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
loader = dict(num_workers=0, persistent_workers=False)
dataset = dict(data_root=data_root, **_base_.toy_scenes_cfg)
train_dataloader = dict(batch_size=4, **loader, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=warmup_iters),
    dict(type='PolyLR', power=1.0, eta_min=0.0, by_epoch=False, begin=warmup_iters, end=max_iters),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=200))
protocol = dict(
    name='toy-upernet',
    tier='smoke',
    by_backbone={
        '_delete_': True,
        'plain': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.plain,
            'model.neck': [_base_.toy_rescaling_cfg, _base_.toy_projection_cfg],
        },
        'pyramid': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.pyramid,
            'model.neck': _base_.toy_projection_cfg,
        },
        **_base_.toy_families_cfg,
    },
)
