_base_ = './mask-rcnn_vit-base_32xb2-amp-benchvit-25e_coco-1024px.py'
global_blocks_cfg = (5, 11, 17, 23)
model = dict(
    backbone=dict(arch='large', global_blocks=global_blocks_cfg, out_indices=global_blocks_cfg),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=1024, norm_cfg=dict(type='GN', num_groups=32)),
        dict(
            type='FPN',
            in_channels=[1024] * 4,
            out_channels=256,
            num_outs=5,
            norm_cfg=_base_.norm_cfg,
        ),
    ],
)
