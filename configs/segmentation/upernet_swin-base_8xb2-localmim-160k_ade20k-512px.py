# UPerNet on Swin-B as in LocalMIM's repository (Haoqing-Wang/LocalMIM@314a6e5, its mmseg config),
# which is mmsegmentation's for Swin: whole images are tested, single precision, and only norms
# and tables of relative positions are left out of the weight decay, biases are not.
_base_ = '../_base_/segmentation/upernet_512px.py'
base_lr = 6e-5
model = dict(
    backbone=dict(
        type='mim_bench.Swin',
        arch='base',
        window_size=7,
        out_indices=(0, 1, 2, 3),
        out_norms=True,
        drop_path_rate=0.3,
        pad_small_map=True,
    ),
    decode_head=dict(in_channels=[128, 256, 512, 1024], channels=512),
    auxiliary_head=dict(in_channels=512),
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
protocol = dict(name='ade20k-upernet-localmim-160k')
