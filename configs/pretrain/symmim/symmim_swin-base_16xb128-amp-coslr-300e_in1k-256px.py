# SymMIM-style, Swin-B: 16 GPUs x 128 images = 2048. Inferred as a whole: the paper's masks for
# pyramids are unknown. The rule for the cells is SimMIM's (microsoft/SimMIM@d3e29bc): multiples of
# the total stride; 256 px make both boards even, of 8x8 and 4x4 cells. Contrast, momentum and
# schedule are those of ViT-B.
_base_ = './symmim_vit-base_32xb128-amp-coslr-300e_in1k-224px.py'
base_lr = 1e-4  # with batch, betas, clipping and warm-up: SimMIM, Swin-B, 800 epochs
base_batch_size = 512
effective_batch_size = 2048
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.MaskTokenSwin',
        arch='base',
        img_size=256,
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(window_size=8)),  # this project's choice: it divides 8x8
    ),
    neck=dict(in_channels=1024),
    head=dict(in_dims=1024, patch_size=32),
    pooling='gap',
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
    dict(
        type='mim_bench.CheckerboardMasks',
        input_size=256,
        patch_size=4,
        small_cell=32,
        large_cell=64,
    ),
    dict(type='PackInputs', algorithm_keys=['mask', 'momentum_mask']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * effective_batch_size / base_batch_size, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=5.0),
    paramwise_cfg=dict(custom_keys=dict(mask_token=dict(decay_mult=0.0))),  # inferred: SimMIM
)
param_scheduler = dict(warmup_epochs=10)
