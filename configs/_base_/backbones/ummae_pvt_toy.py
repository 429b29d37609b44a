# UM-MAE's PVT for the embedded data, with three stages.
backbone_cfg = dict(
    type='mim_bench.UMMAEPvt',
    arch=dict(
        embed_dims=(32, 64, 128), depths=(1, 1, 2), num_heads=(1, 2, 4), mlp_ratios=(4, 4, 4)
    ),
    sr_ratios=(8, 4, 2),
)
