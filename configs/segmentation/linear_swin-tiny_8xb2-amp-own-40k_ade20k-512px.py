# The same for the standard Swin-T, windows of 16, and 8 in the last stage as in pre-training.
_base_ = './linear_ummae-swin-tiny_8xb2-amp-own-40k_ade20k-512px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch='tiny',
        window_size=(16, 16, 16, 8),
        out_indices=(0, 1, 2, 3),
        pad_small_map=True,
        frozen_stages=4,
    ),
)
