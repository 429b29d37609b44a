# The same recipe for a plain vision transformer.
_base_ = './finetune_ummae-swin-toy_1xb64-coslr-8e_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.ViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
        final_norm=False,
    ),
    neck=dict(in_dims=64),
    head=dict(in_channels=64),
)
