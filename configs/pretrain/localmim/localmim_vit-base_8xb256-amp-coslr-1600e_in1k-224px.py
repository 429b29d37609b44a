# LocalMIM, ViT-B, HOG (Haoqing-Wang/LocalMIM@314a6e5, README): 8 GPUs x 256 images = 2048.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
base_lr = 2e-4
effective_batch_size = 2048
model = dict(
    type='mim_bench.LocalMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mim_bench.LocalMIMViT', arch='base', img_size=224, patch_size=16),
    neck=dict(type='mim_bench.LocalMIMDecoder', in_dims=768, out_dims=27, grid=[14, 14]),
    head=dict(type='mim_bench.LocalMIMHead', patch_size=16, target='hog', num_bins=9),
)
train_pipeline = [
    *_base_.load_and_crop,
    # 147 of 196 patches hidden
    dict(type='mim_bench.RandomPatchMask', input_size=224, patch_size=16, mask_ratio=0.75),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(
    batch_size=256,
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(accumulative_counts=1, optimizer=dict(lr=base_lr * effective_batch_size / 256))
param_scheduler = dict(warmup_epochs=40, min_lr=1e-6)
train_cfg = dict(max_epochs=1600)
protocol = dict(task='pretrain', name='pretrain-localmim-1600e', version='1', tier='full')
pretraining = dict(method='localmim', epochs=1600)
