# ConMIM, ViT-B (TencentARC/ConMIM@4263955): 32 GPUs x 64 images = 2048.
# Inferred: rate, batch, warm-up and clipping; README.md has one command, for ViT-L. Stated there:
# the epochs (model zoo); the layer scale is the help text's. Fine-tuning starts from the teacher.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
base_lr = 7.5e-4
base_batch_size = 2048
effective_batch_size = 2048
model = dict(
    type='mim_bench.ConMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.ConMIMViT',
        arch='base',
        img_size=224,
        patch_size=16,
        layer_scale_init_value=0.1,
    ),
    neck=dict(
        type='mim_bench.ConMIMProjector', in_channels=768, hid_channels=4096, out_channels=256
    ),
    head=dict(type='mim_bench.PatchContrastHead', temperature=0.1),
    momentum=dict(base_momentum=0.996, end_momentum=1.0),
)
# The photometric part of MoCo v3's second view, for the teacher
# (TencentARC/ConMIM@4263955, datasets.py).
strong_pipeline = [
    dict(type='NumpyToPIL', to_rgb=True),
    dict(
        type='RandomApply',
        transforms=[
            dict(
                type='torchvision/ColorJitter',
                brightness=0.4,
                contrast=0.4,
                saturation=0.2,
                hue=0.1,
            )
        ],
        prob=0.8,
    ),
    dict(type='torchvision/RandomGrayscale', p=0.2),
    dict(type='PILToNumpy', to_bgr=True),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.1),
    dict(type='Solarize', thr=128, prob=0.2),
]
# Both views have one crop, so a patch has the same place in both.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomResizedCrop',
        scale=224,
        crop_ratio_range=(0.08, 1.0),
        backend='pillow',
        interpolation='bicubic',
    ),
    dict(
        type='mim_bench.BlockCellMask', input_size=224, cell_size=32, patch_size=16, mask_ratio=0.75
    ),
    dict(type='MultiView', num_views=[1, 1], transforms=[[], strong_pipeline]),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(
    batch_size=64,
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=base_lr * effective_batch_size / base_batch_size, betas=(0.9, 0.98)),
    clip_grad=dict(max_norm=1.0),
    # Mask token and table of positions are decayed (optim_factory.py).
    paramwise_cfg=dict(
        custom_keys=dict(cls_token=dict(decay_mult=0.0), pos_embed=dict(decay_mult=0.0))
    ),
)
param_scheduler = dict(type='mim_bench.TableCosineLR', min_lr=1e-5)
train_cfg = dict(max_epochs=800)
custom_hooks = [*_base_.custom_hooks, dict(type='mim_bench.MomentumHook')]
protocol = dict(task='pretrain', name='pretrain-conmim-800e', version='1', tier='full')
pretraining = dict(method='conmim', epochs=800)
