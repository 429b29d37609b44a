# Hybrid Task Cascade (arXiv:1901.07518) without its stuff branch: three stages, box and mask
# branch interleaved, mask features passed on from stage to stage. Sizes and losses are those of
# mmdet 3.3's htc_without_semantic, which also matches boxes of low overlap in every stage.
_base_ = './cascade.py'
bbox_head_cfg = dict(
    type='Shared2FCBBoxHead',
    in_channels=256,
    fc_out_channels=1024,
    roi_feat_size=_base_.roi_size,
    num_classes=_base_.num_classes,
    reg_class_agnostic=True,
    loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
)
model = dict(
    type='HybridTaskCascade',
    roi_head=dict(
        type='HybridTaskCascadeRoIHead',
        interleaved=True,
        mask_info_flow=True,
        bbox_head=[
            dict(**bbox_head_cfg, bbox_coder=dict(**_base_.deltas_cfg, target_stds=stds))
            for stds in _base_.stage_stds_cfg
        ],
        # The first stage has no earlier mask features to take in.
        mask_head=[
            dict(type='HTCMaskHead', **_base_.mask_head_cfg, with_conv_res=is_later)
            for is_later in (False, True, True)
        ],
    ),
    train_cfg=dict(
        rcnn=[
            {**stage, 'assigner': {**stage.assigner, 'match_low_quality': True}}
            for stage in _base_.model.train_cfg.rcnn
        ],
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.001)),
)
