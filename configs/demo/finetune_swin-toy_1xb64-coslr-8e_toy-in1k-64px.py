# The same recipe for the standard Swin.
_base_ = './finetune_ummae-swin-toy_1xb64-coslr-8e_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        window_size=4,
        # Swin's initialisation is for hundreds of channels; from random weights a network of 32
        # stays at chance for most of this schedule with it.
        init_cfg=dict(type='Xavier', layer='Linear', distribution='uniform'),
    ),
)
