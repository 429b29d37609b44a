# ConMIM on the embedded digits: 8x8 patches of 8 px, hidden in cells of 16 px.
_base_ = '../_base_/recipes/toy_pretraining.py'
model = dict(
    type='mim_bench.ConMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.ConMIMViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
        layer_scale_init_value=0.1,
    ),
    neck=dict(type='mim_bench.ConMIMProjector', in_channels=64, hid_channels=128, out_channels=32),
    head=dict(type='mim_bench.PatchContrastHead', temperature=0.1),
    momentum=dict(base_momentum=0.99),
)
strong_pipeline = [
    dict(
        type='RandomApply',
        transforms=[
            dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1)
        ],
        prob=0.8,
    ),
]
train_pipeline = [
    *_base_.load_and_crop,
    dict(
        type='mim_bench.BlockCellMask', input_size=64, cell_size=16, patch_size=8, mask_ratio=0.75
    ),
    dict(type='MultiView', num_views=[1, 1], transforms=[[], strong_pipeline]),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, _base_.knn_hook_cfg, dict(type='mim_bench.MomentumHook')]
base_lr = 1e-3
base_batch_size = 32
optim_wrapper = dict(optimizer=dict(lr=base_lr))
protocol = dict(name='toy-pretrain-conmim')
pretraining = dict(method='conmim')
