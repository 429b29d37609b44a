# SymMIM on the embedded digits with a Swin of three stages: total stride 16, so cells of 16 and
# 32 px, as 32 and 64 px are for four stages.
_base_ = './symmim_vit-toy_1xb32-coslr-5e_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.MaskTokenSwin',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        img_size=64,
        out_indices=(2,),
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(window_size=4)),
    ),
    neck=dict(in_channels=128),
    head=dict(in_dims=128, patch_size=16),
    pooling='gap',
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(
        type='mim_bench.CheckerboardMasks',
        input_size=64,
        patch_size=4,
        small_cell=16,
        large_cell=32,
    ),
    dict(type='PackInputs', algorithm_keys=['mask', 'momentum_mask']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
