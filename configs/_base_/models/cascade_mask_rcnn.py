# Cascade Mask R-CNN with box heads of four convolutions and one linear layer, SyncBN and GIoU loss
# (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011, configs/swin/*giou_4conv1f*; the same
# in bytedance/ibot@da316d8). Assignment, sampling and proposals are those of both files' bases.
_base_ = './mask_rcnn.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
model = dict(
    type='CascadeRCNN',
    rpn_head=dict(loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0)),
    roi_head=dict(
        type='CascadeRoIHead',
        num_stages=3,
        stage_loss_weights=[1, 0.5, 0.25],
        bbox_head=[
            dict(
                type='Shared4Conv1FCBBoxHead',
                in_channels=256,
                conv_out_channels=256,
                fc_out_channels=1024,
                roi_feat_size=_base_.roi_size,
                num_classes=_base_.num_classes,
                reg_class_agnostic=False,
                reg_decoded_bbox=True,
                norm_cfg=norm_cfg,
                loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
                loss_bbox=dict(type='GIoULoss', loss_weight=10.0),
                bbox_coder=dict(**_base_.deltas_cfg, target_stds=stds),
            )
            for stds in _base_.stage_stds_cfg
        ],
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
                    'match_low_quality': False,
                },
            }
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
)
