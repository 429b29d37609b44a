# The common protocol of EoMT on ADE20K at 512 px (arXiv:2503.19108): 100 queries in the last four
# blocks, Mask2Former's loss, masks that fade block after block, AdamW 1e-4, layer decay 0.8, power
# 0.9 (tue-mps/eomt, configs of ADE20K, as mirrored in YB17/eomt@45d55ec). Differs: 40,000
# iterations for 31 epochs, one warm-up of 1,500 iterations for all weights, and mmsegmentation's
# augmentation.
_base_ = [
    '../models/eomt_head.py',
    '../datasets/ade20k_512px.py',
    '../schedules/adamw_poly_40k.py',
    '../default_runtime.py',
]
default_scope = 'mmseg'
base_lr = 1e-4
num_classes = 150
model = dict(
    type='mim_bench.EoMT',
    data_preprocessor=_base_.data_preprocessor,
    decode_head=dict(
        **_base_.eomt_head_cfg,
        num_classes=num_classes,
        num_queries=100,
        num_blocks=4,
        train_cfg=dict(**_base_.eomt_train_cfg, num_points=12544),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.8)
)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], power=0.9)]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
custom_hooks = [*_base_.custom_hooks, dict(type='mim_bench.MaskAnnealingHook', power=0.9)]
protocol = dict(
    task='ade20k-eomt',
    name='ade20k-eomt-common',
    version='2',
    tier='full',
    by_backbone={
        'plain': {
            'model.backbone.img_size': 512,
            'model.backbone.out_indices': ['1'],
            'model.backbone.final_norm': False,
        },
    },
)
