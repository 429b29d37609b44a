# UM-MAE's Swin for the embedded data, with three stages.
backbone_cfg = dict(
    type='mim_bench.UMMAESwin',
    arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4), posmlp_dims=16),
)
