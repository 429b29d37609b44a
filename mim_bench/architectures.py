"""Sizes of our families of backbones by name; no torch, so that planning is fast."""

VIT_KEYS = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
# mmpretrain's 'small' is another network: 8 layers of width 768.
VIT = {
    name: dict(zip(VIT_KEYS, (dims, depth, heads, 4 * dims), strict=True))
    for name, dims, depth, heads in (
        ('tiny', 192, 12, 3),
        ('small', 384, 12, 6),
        ('base', 768, 12, 12),
        ('large', 1024, 24, 16),
        ('huge', 1280, 32, 16),
    )
}
SWIN = {
    'tiny': dict(embed_dims=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24)),
    'small': dict(embed_dims=96, depths=(2, 2, 18, 2), num_heads=(3, 6, 12, 24)),
    'base': dict(embed_dims=128, depths=(2, 2, 18, 2), num_heads=(4, 8, 16, 32)),
    'large': dict(embed_dims=192, depths=(2, 2, 18, 2), num_heads=(6, 12, 24, 48)),
}
UMMAE_SWIN = {
    name: {**sizes, 'posmlp_dims': 64 if name == 'large' else 32} for name, sizes in SWIN.items()
}
UMMAE_PVT = {
    'small': dict(
        embed_dims=(64, 128, 320, 512),
        depths=(3, 4, 6, 3),
        num_heads=(1, 2, 5, 8),
        mlp_ratios=(8, 8, 4, 4),
    ),
}
FAMILIES = {
    'vit': VIT,
    'beit-vit': VIT,
    'swin': SWIN,
    'ummae-swin': UMMAE_SWIN,
    'ummae-pvt': UMMAE_PVT,
}
# Classes of families, as configs spell them; BEiT's ViT is that of MAE with other settings.
CLASSES = {
    'vit': 'mim_bench.ViT',
    'swin': 'mim_bench.Swin',
    'ummae-swin': 'mim_bench.UMMAESwin',
    'ummae-pvt': 'mim_bench.UMMAEPvt',
}
