# The same probes for UM-MAE's PVT.
_base_ = './probe_ummae-swin-toy_1xb64_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.UMMAEPvt',
        arch=dict(
            embed_dims=(32, 64, 128), depths=(1, 1, 2), num_heads=(1, 2, 4), mlp_ratios=(4, 4, 4)
        ),
        img_size=64,
        sr_ratios=(8, 4, 2),
        out_indices=(2,),
        final_norm=True,
    ),
)
