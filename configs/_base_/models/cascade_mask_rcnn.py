# Cascade Mask R-CNN with 4conv1fc box heads and GIoU loss as in iBOT's file
# (bytedance/ibot@da316d8). That Swin's have them too is general knowledge; SyncBN, the weight of 10
# and boxes of each class are inferred from mmdet 3.3's ConvNeXt file.
_base_ = './cascade.py'
norm_cfg = dict(type='SyncBN', requires_grad=True)
bbox_head_cfg = dict(
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
)
model = dict(
    type='CascadeRCNN',
    roi_head=dict(
        type='CascadeRoIHead',
        bbox_head=[
            dict(**bbox_head_cfg, bbox_coder=dict(**_base_.deltas_cfg, target_stds=stds))
            for stds in _base_.stage_stds_cfg
        ],
        mask_head=dict(type='FCNMaskHead', **_base_.mask_head_cfg),
    ),
)
