# The same for the standard Swin-T on 256 px, windows of 16 (8 in the last stage).
_base_ = './linear_ummae-swin-tiny_8xb2048-amp-mae-90e_in1k-256px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch='tiny',
        window_size=(16, 16, 16, 8),
        out_norms=True,
        frozen_stages=4,
    ),
)
protocol = dict(name='in1k-linear-mae-90e-swin-tiny')
