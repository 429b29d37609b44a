# SymMIM on the embedded digits: patches of 8 px, so boards of 8x8 and 4x4 cells, both even.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 4e-3
projector_cfg = dict(
    type='NonLinearNeck',
    in_channels=64,
    hid_channels=128,
    out_channels=32,
    num_layers=3,
    with_last_bn_affine=False,
    with_avg_pool=False,
)
model = dict(
    type='mim_bench.SymMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.MaskTokenViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
    ),
    neck=projector_cfg,
    head=dict(type='mim_bench.HiddenPixelHead', in_dims=64, patch_size=8),
    contrast_head=dict(
        type='mim_bench.MomentumContrastHead',
        predictor={**projector_cfg, 'in_channels': 32, 'num_layers': 2},
    ),
    momentum=dict(base_momentum=0.99),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(
        type='mim_bench.CheckerboardMasks',
        input_size=64,
        patch_size=8,
        small_cell=8,
        large_cell=16,
    ),
    dict(type='PackInputs', algorithm_keys=['mask', 'momentum_mask']),
]
train_dataloader = dict(
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, _base_.knn_hook_cfg, dict(type='mim_bench.MomentumHook')]
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / 256))
protocol = dict(name='toy-pretrain-symmim')
pretraining = dict(method='symmim')
