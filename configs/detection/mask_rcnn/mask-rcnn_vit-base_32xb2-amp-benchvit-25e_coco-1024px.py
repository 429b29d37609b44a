# Benchmarking-ViT (arXiv:2111.11429) for MAE's kind of ViT-B, 25 epochs (hustvl/MIMDet@fb0aaa1,
# configs/benchmarking/benchmarking_mask_rcnn_base_FPN_25ep_LSJ_mae.py, models/benchmarking.py):
# windows of 16 with a global block at the end of each quarter, fixed sine-cosine positions, and one
# trained table of relative positions for the windows and one for the whole map, from zeros on.
# Images are padded to 1024 x 1024, in the test too. What the file leaves to detectron2 is its
# default: L1 loss of boxes.
_base_ = [
    '../../_base_/models/mask_rcnn.py',
    '../../_base_/datasets/coco_lsj_detectron2_1024px.py',
    '../../_base_/schedules/adamw_coslr_25e.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
warmup_iters = 461  # a quarter of an epoch
base_lr = 8e-5
base_batch_size = effective_batch_size = 64
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        img_size=1024,
        # For the grid of 1024 px, not interpolated.
        abs_pos='fixed',
        recompute_positions=True,
        rel_pos_bias='shared',
        final_norm=False,
        window_size=16,
        global_blocks=(2, 5, 8, 11),
        out_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=768, norm_cfg=dict(type='GN', num_groups=32)),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=5, norm_cfg=norm_cfg),
    ],
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)
optim_wrapper = dict(
    optimizer=dict(lr=base_lr, weight_decay=0.1),
    paramwise_cfg=dict(
        norm_decay_mult=0.0, no_decay_names=('pos_embed', 'relative_position_bias_table')
    ),
)
param_scheduler = [
    {**_base_.param_scheduler[0], 'end': warmup_iters},
    {**_base_.param_scheduler[1], 'eta_min': 0.0},
]
train_cfg = dict(val_interval=5)
protocol = dict(
    task='coco-mask-rcnn', name='coco-mask-rcnn-benchvit-25e-vit-base', version='1', tier='full'
)
