# ViTDet for ViT-B (facebookresearch/detectron2@02b5c4e, projects/ViTDet/configs/COCO/
# mask_rcnn_vitdet_b_100ep.py and cascade_mask_rcnn_vitdet_b_100ep.py, configs/common/models/
# mask_rcnn_vitdet.py, configs/common/optim.py): Mask R-CNN, and the parts with which a config makes
# it Cascade Mask R-CNN. 184,375 iterations of 64 images are 100 epochs of 118,000 images.
_base_ = [
    '../models/mask_rcnn.py',
    '../datasets/coco_lsj_detectron2_1024px.py',
    '../default_runtime.py',
]
default_scope = 'mmdet'
max_iters = 184375
warmup_iters = 250
base_lr = 1e-4
base_batch_size = effective_batch_size = 64
lr_scaling = 'linear'
norm_cfg = dict(type='mmpretrain.LN2d', eps=1e-6)
bbox_head_cfg = dict(
    type='Shared4Conv1FCBBoxHead',
    in_channels=256,
    conv_out_channels=256,
    fc_out_channels=1024,
    roi_feat_size=_base_.roi_size,
    num_classes=_base_.num_classes,
    norm_cfg=norm_cfg,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=_base_.bbox_loss,
)
assigner_cfg = {**_base_.rcnn_cfg['assigner'], 'match_low_quality': False}
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        # The table of absolute positions stays that of 224 px and is interpolated in every step.
        bias_img_size=1024,
        rel_pos_bias='decomposed',
        final_norm=False,
        window_size=14,
        pad_windows=True,
        global_blocks=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
    neck=dict(
        _delete_=True, type='mim_bench.SimpleFeaturePyramid', in_channels=768, out_channels=256
    ),
    rpn_head=dict(num_convs=2),
    roi_head=dict(bbox_head=bbox_head_cfg, mask_head=dict(norm_cfg=norm_cfg)),
    train_cfg=dict(rcnn=dict(assigner=assigner_cfg)),
)
# Of a config that is Cascade Mask R-CNN: three box heads without classes, one mask head. The later
# stages keep what the first one sampled.
cascade_cfg = dict(
    type='CascadeRCNN',
    roi_head=dict(
        type='mim_bench.OneMaskCascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 1, 1],
        bbox_head=[
            {
                **bbox_head_cfg,
                'reg_class_agnostic': True,
                'bbox_coder': dict(**_base_.deltas_cfg, target_stds=[1 / w, 1 / w, 2 / w, 2 / w]),
            }
            for w in (10, 20, 30)
        ],
    ),
    train_cfg=dict(
        rcnn=[
            {
                **_base_.rcnn_cfg,
                'assigner': {
                    **assigner_cfg,
                    **dict.fromkeys(('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou'), iou),
                },
                'sampler': _base_.rcnn_cfg['sampler'] if iou == 0.5 else dict(type='PseudoSampler'),
            }
            for iou in (0.5, 0.6, 0.7)
        ]
    ),
)
train_dataloader = dict(sampler=dict(type='InfiniteSampler'))
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    # Norms of the backbone and positions are not decayed. The norms of pyramid and heads are: there
    # they are a class of detectron2's own, which its list of norms does not have.
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        norm_decay_mult=0.0,
        no_decay_names=('pos_embed',),
        custom_keys={'neck': dict(decay_mult=1.0), 'roi_head': dict(decay_mult=1.0)},
    ),
)
param_scheduler = [
    # The whole rate from iteration 250 on.
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters + 1),
    dict(
        type='MultiStepLR',
        begin=0,
        end=max_iters,
        by_epoch=False,
        milestones=[163889, 177546],
        gamma=0.1,
    ),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=5000))
