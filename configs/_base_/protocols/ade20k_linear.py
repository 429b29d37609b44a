# The common linear probe of ADE20K at 512 px: a frozen backbone, batch norm and one 1x1 convolution
# (the linear decoder of facebookresearch/dinov2@b8931f7, README: one linear layer on patch tokens).
# A plain transformer gives its last map, a pyramid its four maps, resized to the first and put side
# by side. Own choice: 40,000 iterations, AdamW 1e-3.
_base_ = [
    '../models/linear_head.py',
    '../datasets/ade20k_512px.py',
    '../schedules/adamw_poly_40k.py',
    '../default_runtime.py',
]
default_scope = 'mmseg'
model = dict(
    type='EncoderDecoder',
    data_preprocessor=_base_.data_preprocessor,
    neck=dict(type='mim_bench.MapBatchNorm', in_channels='widths'),
    decode_head=dict(**_base_.linear_head_cfg, num_classes=150),
    train_cfg=dict(),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341)),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=10000))
protocol = dict(
    task='ade20k-linear',
    name='ade20k-linear-common',
    version='1',
    tier='full',
    by_backbone={
        'plain': {
            'model.backbone.frozen_stages': 'all',
            'model.backbone.img_size': 512,
            'model.backbone.out_indices': ['1'],
            'model.decode_head.in_index': [0],
        },
        'pyramid': {
            'model.backbone.frozen_stages': 'all',
            'model.backbone.out_indices': [0, 1, 2, 3],
            'model.decode_head.in_index': [0, 1, 2, 3],
        },
        # Norms of the last map that a method has pre-trained are used.
        'ViT': {'model.backbone.final_norm': 'checkpoint'},
        'Swin': {'model.backbone.pad_small_map': True},
        'UMMAESwin': {'model.backbone.final_norm': 'checkpoint'},
        'UMMAEPvt': {'model.backbone.final_norm': 'checkpoint', 'model.backbone.img_size': 512},
    },
)
