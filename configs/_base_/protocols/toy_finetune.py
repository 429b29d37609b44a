# Fine-tuning on the embedded digits: the common head and optimiser, a short schedule without mixing
# of images, which needs more epochs than a demo has.
_base_ = './in1k_finetune.py'
data_root = 'data/toy/imagenet/'
base_lr = 8e-3
effective_batch_size = 64
num_classes = 10
model = dict(head=dict(num_classes=num_classes), train_cfg=None)
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
    batch_size=64,
    dataset=dict(_delete_=True, **dataset, data_prefix='train', pipeline=train_pipeline),
)
val_dataloader = dict(
    **loader, dataset=dict(_delete_=True, **dataset, data_prefix='val', pipeline=test_pipeline)
)
test_dataloader = val_dataloader
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(
        type='AdamW', lr=base_lr * effective_batch_size / 256, betas=(0.9, 0.999), weight_decay=0.05
    ),
    constructor=_base_.optim_wrapper.constructor,
    paramwise_cfg=dict(_base_.optim_wrapper.paramwise_cfg, layer_decay_rate=0.85),
)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=4, val_interval=4)
protocol = dict(
    name='toy-ft',
    tier='smoke',
    by_backbone={
        '_delete_': True,
        'plain': {'model.backbone.out_indices': ['1']},
        'pyramid': {'model.backbone.out_indices': ['1']},
        'ViT': {'model.backbone.img_size': 64, 'model.backbone.final_norm': False},
        'CapiViT': {'model.backbone.final_norm': False},
        'MixMIMEncoder': {'model.backbone.final_norm': False},
        'TimmBackbone': {'model.backbone.final_norm': False},
        # Swin's initialisation is for hundreds of channels; from random weights a network of 32
        # stays at chance for most of this schedule with it.
        'Swin': {
            'model.backbone.init_cfg': dict(type='Xavier', layer='Linear', distribution='uniform')
        },
        'UMMAESwin': {'model.backbone.window_size': 8},
        'UMMAEPvt': {'model.backbone.img_size': 64},
    },
)
