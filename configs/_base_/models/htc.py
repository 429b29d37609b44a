# Hybrid Task Cascade (arXiv:1901.07518) as mmdet 3.3 configures it (htc_r50_fpn): three stages, box
# and mask branch interleaved, mask features passed on from stage to stage, and a semantic head on
# the pyramid that learns COCO-stuff's maps (183 classes, 255 ignored) at an eighth of the image.
_base_ = './mask_rcnn.py'
model = dict(
    type='HybridTaskCascade',
    # Stuff maps are padded as the images are, with what the loss ignores.
    data_preprocessor=dict(pad_seg=True, seg_pad_value=255),
    rpn_head=dict(loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0)),
    roi_head=dict(
        type='HybridTaskCascadeRoIHead',
        interleaved=True,
        mask_info_flow=True,
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[
            dict(
                type='Shared2FCBBoxHead',
                in_channels=256,
                fc_out_channels=1024,
                roi_feat_size=_base_.roi_size,
                num_classes=_base_.num_classes,
                reg_class_agnostic=True,
                loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
                bbox_coder=dict(**_base_.deltas_cfg, target_stds=stds),
            )
            for stds in _base_.stage_stds_cfg
        ],
        # The first stage has no earlier mask features to take in.
        mask_head=[
            dict(type='HTCMaskHead', **_base_.mask_head_cfg, with_conv_res=is_later)
            for is_later in (False, True, True)
        ],
        semantic_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[8],
        ),
        semantic_head=dict(
            type='FusedSemanticHead',
            num_ins=5,
            fusion_level=1,
            seg_scale_factor=1 / 8,
            num_convs=4,
            in_channels=256,
            conv_out_channels=256,
            num_classes=183,
            loss_seg=dict(type='CrossEntropyLoss', ignore_index=255, loss_weight=0.2),
        ),
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=0),
        rpn_proposal=dict(max_per_img=2000),
        rcnn=[
            {
                **_base_.rcnn_cfg,
                'assigner': {
                    **_base_.rcnn_cfg.assigner,
                    **dict.fromkeys(('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou'), iou),
                },
            }
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.001)),
)
