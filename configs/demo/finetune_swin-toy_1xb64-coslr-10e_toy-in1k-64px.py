# The same recipe for the standard Swin.
_base_ = './finetune_ummae-swin-toy_1xb64-coslr-10e_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        img_size=64,
        out_indices=(2,),
        drop_path_rate=0.0,
        norm_cfg=None,
        stage_cfgs=[dict(block_cfgs=dict(window_size=size)) for size in (8, 8, 4)],
    ),
)
