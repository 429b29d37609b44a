# LocalMIM, Swin-B, HOG (Haoqing-Wang/LocalMIM@314a6e5, README): 8 GPUs x 256 images = 2048.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
base_lr = 1e-4
effective_batch_size = 2048
model = dict(
    type='mim_bench.LocalMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mim_bench.LocalMIMSwin', arch='base', img_size=224, window_size=7),
    neck=dict(
        type='mim_bench.LocalMIMSwinDecoder',
        in_dims=[256, 512, 1024, 1024],
        out_dims=54,
        grid=[7, 7],
    ),
    head=dict(
        type='mim_bench.LocalMIMHead',
        patch_size=32,
        scales=[4, 2, 1, 1],
        target='hog',
        num_bins=18,
        hog_bias=True,
    ),
)
train_pipeline = [
    *_base_.load_and_crop,
    # 37 of 49 units hidden
    dict(type='mim_bench.UnitMask', input_size=224, unit_size=32, mask_ratio=0.75),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(
    batch_size=256,
    # The windows of each stage, for the mask that a batch on a device shares.
    collate_fn=dict(type='mim_bench.collate_masks', window_sizes=[7, 7, 7, 7]),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=base_lr * effective_batch_size / 256),
    paramwise_cfg=dict(
        custom_keys=dict(position_bias=dict(decay_mult=0.0), token=dict(decay_mult=0.0))
    ),
)
param_scheduler = dict(warmup_epochs=40)
train_cfg = dict(max_epochs=400)
protocol = dict(task='pretrain', name='pretrain-localmim-400e', version='1', tier='full')
pretraining = dict(method='localmim', epochs=400)
