# Swin's UPerNet for Swin-T (SwinTransformer/Swin-Transformer-Semantic-Segmentation@87e6f90,
# configs/swin/upernet_swin_tiny_patch4_window7_512x512_160k_ade20k.py): whole images are tested,
# single precision, and only norms and tables of relative positions are free of decay.
_base_ = [
    '../../_base_/models/upernet.py',
    '../../_base_/datasets/ade20k_512px.py',
    '../../_base_/schedules/adamw_poly_160k.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmseg'
base_lr = 6e-5
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.Swin',
        arch='tiny',
        window_size=7,
        out_indices=(0, 1, 2, 3),
        out_norms=True,
        drop_path_rate=0.3,
        pad_small_map=True,
    ),
    decode_head=dict(in_channels=[96, 192, 384, 768], channels=512),
    auxiliary_head=dict(in_channels=384),
    test_cfg=dict(_delete_=True, mode='whole'),
)
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        layer_decay_rate=1.0,
        custom_keys=dict(
            norm=dict(decay_mult=0.0), relative_position_bias_table=dict(decay_mult=0.0)
        ),
    ),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(task='ade20k-upernet', name='ade20k-upernet-swin-160k', version='1', tier='full')
