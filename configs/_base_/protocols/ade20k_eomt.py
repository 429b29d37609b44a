# The common protocol of EoMT on ADE20K at 512 px (arXiv:2503.19108): 100 queries in the last four
# blocks, Mask2Former's loss, masks that fade block after block, AdamW 1e-4, layer decay 0.8, power
# 0.9 (tue-mps/eomt, configs of ADE20K, as mirrored in YB17/eomt@45d55ec). Differs: 40,000
# iterations for 31 epochs, one warm-up of 1,500 iterations for all weights, and mmsegmentation's
# augmentation.
_base_ = [
    '../datasets/ade20k_512px.py',
    '../schedules/adamw_poly_40k.py',
    '../default_runtime.py',
]
default_scope = 'mmseg'
base_lr = 1e-4
max_iters = 40000
num_classes = 150
model = dict(
    type='mim_bench.EoMT',
    data_preprocessor=_base_.data_preprocessor,
    decode_head=dict(
        type='mim_bench.EoMTHead',
        in_channels='widths',
        patch_size='strides[-1]',
        num_classes=num_classes,
        num_queries=100,
        num_blocks=4,
        loss_cls=dict(
            type='mmdet.CrossEntropyLoss',
            use_sigmoid=False,
            loss_weight=2.0,
            reduction='mean',
            no_object_weight=0.1,
        ),
        loss_mask=dict(
            type='mmdet.CrossEntropyLoss', use_sigmoid=True, reduction='mean', loss_weight=5.0
        ),
        loss_dice=dict(
            type='mmdet.DiceLoss',
            use_sigmoid=True,
            activate=True,
            reduction='mean',
            naive_dice=True,
            eps=1.0,
            loss_weight=5.0,
        ),
        train_cfg=dict(
            num_points=12544,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            assigner=dict(
                type='mmdet.HungarianAssigner',
                match_costs=[
                    dict(type='mmdet.ClassificationCost', weight=2.0),
                    dict(type='mmdet.CrossEntropyLossCost', weight=5.0, use_sigmoid=True),
                    dict(type='mmdet.DiceCost', weight=5.0, pred_act=True, eps=1.0),
                ],
            ),
            sampler=dict(type='mmdet.MaskPseudoSampler'),
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr, weight_decay=0.05), paramwise_cfg=dict(layer_decay_rate=0.8)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=_base_.warmup_iters),
    dict(
        type='PolyLR',
        power=0.9,
        eta_min=0.0,
        by_epoch=False,
        begin=_base_.warmup_iters,
        end=max_iters,
    ),
]
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
