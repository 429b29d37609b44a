# BEiT's plain transformer under UPerNet: the taps go into the pyramid without a norm.
_base_ = './upernet_512px.py'
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        img_size=512,
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        abs_pos='none',
        rel_pos_bias='per_block',
        qkv_bias='qv',
        layer_scale=0.1,
        drop_path_rate=0.1,
    ),
    neck=dict(type='mim_bench.ViTPyramid', embed_dims=768),
)
# BEiT's multi-scale test, with the resize of SETR: no side is shorter than the window that slides,
# and a long side has no limit. Differs: sizes are rounded as mmseg rounds them.
tta_pipeline = [
    _base_.tta_pipeline[0],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='ResizeShortestEdge', scale=max(512, int(512 * ratio)), max_size=100000)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            *_base_.tta_pipeline[1].transforms[1:],
        ],
    ),
]
