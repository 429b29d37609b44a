# LocalMIM on the embedded digits: 64 patches of 8 px, so cells of 2, 4, 8 and 16 px.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 12e-3
model = dict(
    type='mim_bench.LocalMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.LocalMIMViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        guided_blocks=[0, 1, 2, 3],
        img_size=64,
        patch_size=8,
    ),
    neck=dict(
        type='mim_bench.LocalMIMDecoder',
        in_dims=64,
        out_dims=27,
        grid=[8, 8],
        embed_dims=32,
        num_heads=4,
    ),
    head=dict(type='mim_bench.LocalMIMHead', patch_size=8),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(type='mim_bench.RandomPatchMask', input_size=64, patch_size=8, mask_ratio=0.75),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / 256))
protocol = dict(name='toy-pretrain-localmim')
pretraining = dict(method='localmim')
