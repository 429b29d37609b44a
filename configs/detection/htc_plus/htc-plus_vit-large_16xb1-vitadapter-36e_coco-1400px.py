# ViT-Adapter's HTC++ 3x for MAE's kind of ViT-L (czczup/ViT-Adapter@fd64a51, detection/configs/
# htc++/htc++_augreg_adapter_large_fpn_3x_coco.py): drop path 0.4 and windows of 14 with four global
# blocks. Differs: a pyramid of rescaled maps in place of the adapter, 0.3 as drop path behind the
# backbone as in its other files, and 100 objects a picture, there 300. So its results are another
# network's.
_base_ = [
    '../../_base_/models/htc_plus.py',
    '../../_base_/datasets/coco_stuff_1400px.py',
    '../../_base_/schedules/adamw_step_36e.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='large',
        out_indices=(5, 11, 17, 23),
        final_norm=False,
        window_size=14,
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
        {**_base_.model.neck[0], 'in_channels': 1024},
        {**_base_.model.neck[1], 'in_channels': [1024] * 4},
    ],
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(
    # Only what has one dimension is free of decay: the rule names 'pos_embed' and 'cls_token', but
    # a detector's parameters begin with 'backbone.'. Tables of positions are decayed.
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.9,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
    ),
)
protocol = dict(
    task='coco-htc-plus', name='coco-htc-plus-vitadapter-36e-vit', version='1', tier='full'
)
