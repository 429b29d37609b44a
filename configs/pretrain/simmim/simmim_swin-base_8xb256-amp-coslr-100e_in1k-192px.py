# SimMIM, Swin-B, windows of 6 (microsoft/SimMIM@d3e29bc,
# configs/swin_base__100ep/simmim_pretrain__swin_base__img192_window6__100ep.yaml): 8 GPUs x 256 =
# 2048; there 16 x 128.
_base_ = [
    '../../_base_/datasets/in1k_mim_256px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
base_lr = 2e-4
base_batch_size = 512
effective_batch_size = 2048
model = dict(
    type='SimMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='SimMIMSwinTransformer',
        arch='base',
        img_size=192,
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(window_size=6)),
    ),
    neck=dict(type='SimMIMLinearDecoder', in_channels=1024, encoder_stride=32),
    head=dict(
        type='SimMIMHead',
        patch_size=4,
        loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3),
    ),
)
load_and_crop = [
    dict(type='LoadImageFromFile'),
    dict(
        type='RandomResizedCrop',
        scale=192,
        crop_ratio_range=(0.67, 1.0),
        # microsoft/SimMIM@d3e29bc, data/data_simmim.py: torchvision's default on PIL images.
        backend='pillow',
        interpolation='bilinear',
    ),
    dict(type='RandomFlip', prob=0.5),
]
train_pipeline = [
    *load_and_crop,
    dict(
        type='SimMIMMaskGenerator',
        input_size=192,
        mask_patch_size=32,
        model_patch_size=4,
        mask_ratio=0.6,
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=base_lr * effective_batch_size / base_batch_size, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=5.0),
    # The mask token is not decayed. Tables of relative positions are: the official keyword that
    # should exempt them matches no name (models/simmim.py, optimizer.py).
    paramwise_cfg=dict(custom_keys=dict(mask_token=dict(decay_mult=0.0))),
)
param_scheduler = dict(
    type='mim_bench.TimmCosineLR',
    warmup_lr=1e-6 * effective_batch_size / base_batch_size,
    min_lr=1e-5 * effective_batch_size / base_batch_size,
)
train_cfg = dict(max_epochs=100)
protocol = dict(task='pretrain', name='pretrain-simmim-100e', version='1', tier='full')
pretraining = dict(method='simmim', epochs=100)
