# The same probes for the standard Swin-T, windows of 16 (8 in the last stage) on 256 px.
_base_ = './probe_ummae-swin-tiny_8xb64_in1k-256px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch='tiny',
        window_size=(16, 16, 16, 8),
        out_norms=True,
    ),
)
