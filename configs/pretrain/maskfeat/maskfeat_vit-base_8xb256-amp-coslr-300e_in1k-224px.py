# MaskFeat, ViT-B (mmpretrain 1.2.0,
# configs/maskfeat/maskfeat_vit-base-p16_8xb256-amp-coslr-300e_in1k.py): 8 GPUs x 256 images = 2048.
# Differs: the warm-up starts from 0, mmpretrain's from 1e-6 of the rate; targets are float32.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
base_lr = 2e-4
effective_batch_size = 2048
model = dict(
    type='MaskFeat',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='MaskFeatViT', arch='b', img_size=224, patch_size=16),
    neck=dict(
        type='LinearNeck',
        in_channels=768,
        # 9 bins of 3 colours in the 2x2 cells of a patch
        out_channels=108,
        norm_cfg=None,
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02, bias=0),
    ),
    head=dict(type='MIMHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')),
    target_generator=dict(
        type='mim_bench.TokenHOGGenerator', patch_size=16, nbins=9, pool=8, gaussian_window=16
    ),
)
load_and_crop = [
    dict(type='LoadImageFromFile'),
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.5, 1.0), interpolation='bicubic'),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    *load_and_crop,
    dict(type='BEiTMaskGenerator', input_size=(14, 14), num_masking_patches=78, min_num_patches=15),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=base_lr * effective_batch_size / _base_.base_batch_size, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=0.02),
    paramwise_cfg=dict(custom_keys=dict(mask_token=dict(decay_mult=0.0))),
)
param_scheduler = dict(warmup_epochs=30, min_lr=1e-6)
train_cfg = dict(max_epochs=300)
protocol = dict(task='pretrain', name='pretrain-maskfeat-300e', version='1', tier='full')
pretraining = dict(method='maskfeat', epochs=300)
