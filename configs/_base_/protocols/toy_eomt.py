# EoMT on the embedded scenes.
_base_ = './toy_upernet.py'
base_lr = 2e-3
model = dict(
    _delete_=True,
    type='mim_bench.EoMT',
    data_preprocessor=_base_.model.data_preprocessor,
    decode_head=dict(
        type='mim_bench.EoMTHead',
        in_channels='widths',
        patch_size='strides[-1]',
        num_classes=_base_.num_classes,
        num_queries=20,
        num_blocks=2,
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
            num_points=256,
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
    test_cfg=dict(mode='whole'),
)
optim_wrapper = dict(optimizer=dict(lr=base_lr))
custom_hooks = [*_base_.custom_hooks, dict(type='mim_bench.MaskAnnealingHook', power=0.9)]
protocol = dict(
    task='ade20k-eomt',
    name='toy-eomt',
    by_backbone={
        '_delete_': True,
        'plain': {
            'model.backbone.img_size': 128,
            'model.backbone.out_indices': ['1'],
            'model.backbone.final_norm': False,
        },
    },
)
