# LocalMIM on the embedded digits with a Swin of three stages, so units of 16 px: 13 of 16 hidden.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 8e-3
model = dict(
    type='mim_bench.LocalMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.LocalMIMSwin',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        img_size=64,
        window_size=8,
    ),
    neck=dict(
        type='mim_bench.LocalMIMSwinDecoder',
        in_dims=[64, 128, 128],
        out_dims=27,
        grid=[4, 4],
        tokens_per_unit=[2, 1, 1],
        embed_dims=[32, 64, 64],
    ),
    head=dict(type='mim_bench.LocalMIMHead', patch_size=16, scales=[2, 1, 1]),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(type='mim_bench.UnitMask', input_size=64, unit_size=16, mask_ratio=0.75),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(
    collate_fn=dict(type='mim_bench.collate_masks', window_sizes=[8, 8, 4]),
    dataset=dict(pipeline=train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, _base_.knn_hook_cfg]
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / 256),
    paramwise_cfg=dict(
        custom_keys=dict(position_bias=dict(decay_mult=0.0), token=dict(decay_mult=0.0))
    ),
)
protocol = dict(name='toy-pretrain-localmim')
pretraining = dict(method='localmim')
