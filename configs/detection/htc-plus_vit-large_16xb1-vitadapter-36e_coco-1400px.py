# ViT-Adapter's HTC++ for a plain ViT-L: its settings, but a pyramid of rescaled maps in place of
# the adapter, which this project does not have. So the published numbers are not this config's.
_base_ = './htc-plus_swin-tiny_8xb2-vitadapter-36e_coco-1400px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.ViT',
        arch='large',
        out_indices=(5, 11, 17, 23),
        final_norm=False,
        # Inferred: windows with a global block at the end of each quarter, as Benchmarking-ViT
        # (arXiv:2111.11429) has them.
        window_size=16,
        global_blocks=(5, 11, 17, 23),
        drop_path_rate=0.4,
        with_cp=True,
    ),
    neck=[
        dict(
            type='mim_bench.ViTPyramid',
            embed_dims=1024,
            norm_cfg=dict(type='GN', num_groups=32),
        ),
        # 32 dimensions a head, as ViT-Adapter's at this width.
        {**_base_.model.neck[0], 'in_channels': 1024, 'drop_path_rate': 0.4},
        {**_base_.model.neck[1], 'in_channels': [1024] * 4},
    ],
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.9,
        # Inferred: what layer decay goes with since BEiT (arXiv:2106.08254).
        flat_decay_mult=0.0,
        bias_decay_mult=0.0,
        no_decay_names=('pos_embed', 'cls_token', 'relative_position_bias_table'),
    ),
)
