# EoMT on the embedded scenes.
_base_ = ['./toy_upernet.py', '../models/eomt_head.py']
base_lr = 2e-3
model = dict(
    _delete_=True,
    type='mim_bench.EoMT',
    data_preprocessor=_base_.model.data_preprocessor,
    decode_head=dict(
        **_base_.eomt_head_cfg,
        num_classes=_base_.num_classes,
        num_queries=20,
        num_blocks=2,
        train_cfg=dict(**_base_.eomt_train_cfg, num_points=256),
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
