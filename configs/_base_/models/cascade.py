# What Cascade R-CNN (arXiv:1712.00726) and HTC share, with mmdet 3.3's settings: three stages that
# ask for better boxes each.
_base_ = './rpn.py'
deltas_cfg = dict(type='DeltaXYWHBBoxCoder', target_means=[0.0, 0.0, 0.0, 0.0])
# The deltas of later stages are smaller.
stage_stds_cfg = [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.033, 0.033, 0.067, 0.067]]
model = dict(
    rpn_head=dict(loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0)),
    roi_head=dict(num_stages=3, stage_loss_weights=[1, 0.5, 0.25]),
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
                **_base_.rcnn_cfg,
            )
            for iou in (0.5, 0.6, 0.7)
        ],
    ),
)
