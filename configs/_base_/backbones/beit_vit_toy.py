# BEiT's vision transformer for the embedded data; patches of 8 px.
backbone_cfg = dict(
    type='mim_bench.ViT',
    arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
    patch_size=8,
    abs_pos='none',
    rel_pos_bias='per_block',
    qkv_bias='qv',
    layer_scale=0.1,
)
