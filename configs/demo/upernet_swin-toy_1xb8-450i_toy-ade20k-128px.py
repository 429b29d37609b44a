# The same recipe for the standard Swin.
_base_ = './upernet_ummae-swin-toy_1xb8-450i_toy-ade20k-128px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        window_size=4,
        out_indices=(0, 1, 2),
        pad_small_map=True,
    ),
)
