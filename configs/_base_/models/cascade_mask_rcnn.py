# Cascade Mask R-CNN (arXiv:1712.00726) with mmdet 3.3's settings, and 4conv1fc box heads with GIoU
# loss as in iBOT's file (bytedance/ibot@da316d8). That Swin's have them too is general knowledge;
# SyncBN, the weight of 10 and boxes of each class are inferred from mmdet 3.3's ConvNeXt file.
_base_ = './rpn.py'
num_classes = 80
roi_size = 7
norm_cfg = dict(type='SyncBN', requires_grad=True)
roi_extractor_cfg = dict(
    type='SingleRoIExtractor', out_channels=256, featmap_strides=[4, 8, 16, 32]
)
bbox_head_cfg = dict(
    type='Shared4Conv1FCBBoxHead',
    in_channels=256,
    conv_out_channels=256,
    fc_out_channels=1024,
    roi_feat_size=roi_size,
    num_classes=num_classes,
    reg_class_agnostic=False,
    reg_decoded_bbox=True,
    norm_cfg=norm_cfg,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
)
# The deltas of later stages are smaller.
stage_stds_cfg = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
model = dict(
    type='CascadeRCNN',
    rpn_head=dict(loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0)),
    roi_head=dict(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_roi_extractor=dict(
            **roi_extractor_cfg,
            roi_layer=dict(type='RoIAlign', output_size=roi_size, sampling_ratio=0),
        ),
        bbox_head=[
            dict(
                **bbox_head_cfg,
                bbox_coder=dict(
                    type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0], target_stds=stds
                ),
            )
            for stds in stage_stds_cfg
        ],
        mask_roi_extractor=dict(
            **roi_extractor_cfg,
            roi_layer=dict(type='RoIAlign', output_size=2 * roi_size, sampling_ratio=0),
        ),
        mask_head=dict(
            type='FCNMaskHead',
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=num_classes,
            loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=0),
        rpn_proposal=dict(max_per_img=2000),
        rcnn=[
            dict(
                assigner=dict(
                    type='MaxIoUAssigner',
                    pos_iou_thr=iou,
                    neg_iou_thr=iou,
                    min_pos_iou=iou,
                    match_low_quality=False,
                    ignore_iof_thr=-1,
                ),
                sampler=dict(
                    type='RandomSampler',
                    num=512,
                    pos_fraction=0.25,
                    neg_pos_ub=-1,
                    add_gt_as_proposals=True,
                ),
                mask_size=28,
                pos_weight=-1,
                debug=False,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(
        rcnn=dict(
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=100,
            mask_thr_binary=0.5,
        ),
    ),
)
