# The same probes for the standard Swin.
_base_ = './probe_ummae-swin-toy_1xb64_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        window_size=4,
        out_norms=True,
    ),
)
