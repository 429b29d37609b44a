# CAE's Mask R-CNN 1x for ViT-B (Atten4Vis/CAE@a7fd162, downstream_tasks/detection/evaluation/
# object_detection/configs/mask_rcnn/
# vit_base_giou_4conv1f_coco_maskrcnn_1x_cae_sincos_init0.1_lr00003.py and its base): fixed
# sine-cosine positions, no relative ones, attention over the whole map.
_base_ = [
    '../../_base_/models/mask_rcnn.py',
    '../../_base_/datasets/coco_ms_crop_800px.py',
    '../../_base_/schedules/adamw_step_12e.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
base_lr = 3e-4
base_batch_size = effective_batch_size = 32
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        # Positions are kept for 42 x 68 patches and interpolated for each batch.
        img_size=(672, 1088),
        abs_pos='fixed',
        qkv_bias='qv',
        layer_scale=0.1,
        final_norm=False,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.2,
        with_cp=True,
    ),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=768, norm_cfg=norm_cfg),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=5),
    ],
    roi_head=dict(
        bbox_head=dict(
            type='Shared4Conv1FCBBoxHead',
            conv_out_channels=256,
            norm_cfg=norm_cfg,
            reg_decoded_bbox=True,
            loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=10.0),
        )
    ),
    train_cfg=dict(rpn_proposal=dict(max_per_img=2000)),
)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(lr=base_lr),
    # Only what has one dimension is free of decay: the rule names 'pos_embed' and 'cls_token', but
    # a detector's parameters begin with 'backbone.'.
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
    ),
)
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'milestones': [9, 11]},
]
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-cae-12e-base', version='1', tier='full')
