# Swin-T (implus/UM-MAE@cb7776b, FINETUNE.md): 8 GPUs x 64 images x 2 accumulated = 1024.
_base_ = [
    '../_base_/datasets/in1k_cls_256px.py',
    '../_base_/schedules/finetune_coslr_100e_1024b.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mim_bench.UMMAESwin', arch='tiny', drop_path_rate=0.1),
    neck=dict(type='mim_bench.PooledNorm', in_dims=768),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=768,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]),
)
protocol = dict(task='in1k-ft', name='in1k-ft-100e', version='1', tier='full')
