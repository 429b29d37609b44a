# UPerNet on the embedded scenes with a plain vision transformer: its patches of 8 px give maps at
# 4, 8 and 16 px.
_base_ = ['../_base_/toy/upernet.py', '../_base_/backbones/vit_toy.py']
model = dict(
    backbone=dict(**_base_.backbone_cfg, img_size=128, final_norm=False, out_indices=(1, 2, 3)),
    neck=[
        dict(
            type='mim_bench.ViTPyramid',
            embed_dims=64,
            rescales=(2, 1, 0.5),
            norm_cfg=dict(type='GN', num_groups=32),
        ),
        dict(type='mim_bench.StageProjection', in_channels=[64] * 3, out_channels=48),
    ],
)
