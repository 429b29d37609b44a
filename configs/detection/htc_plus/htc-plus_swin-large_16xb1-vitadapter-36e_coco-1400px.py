# ViT-Adapter's HTC++ 3x for Swin-L (czczup/ViT-Adapter@fd64a51,
# detection/configs/htc++/htc++_swin_large_patch4_window12_384_fpn_3x_coco.py; 16 GPUs: its README).
# Proposals go through soft-NMS, in training and in the test. Swin's own HTC++ 3x of this size,
# whose config was not released, has 57.1 / 49.5 (microsoft/Swin-Transformer@f82860b).
_base_ = [
    '../../_base_/models/htc_plus.py',
    '../../_base_/datasets/coco_stuff_1400px.py',
    '../../_base_/schedules/adamw_step_36e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
stage_dims = [192, 384, 768, 1536]
proposal_nms_cfg = dict(type='soft_nms', iou_threshold=0.7)
model = dict(
    # with_cp: the same numbers from less memory.
    backbone={
        **_base_.swin_cfg,
        'arch': 'large',
        'window_size': 12,
        'drop_path_rate': 0.3,
        'with_cp': True,
    },
    neck=[
        {**_base_.model.neck[0], 'in_channels': stage_dims[-1]},
        {**_base_.model.neck[1], 'in_channels': stage_dims},
    ],
    train_cfg=dict(rpn_proposal=dict(nms=proposal_nms_cfg)),
    test_cfg=dict(rpn=dict(nms=proposal_nms_cfg)),
)
train_dataloader = dict(batch_size=1)
protocol = dict(task='coco-htc-plus', name='coco-htc-plus-vitadapter-36e', version='1', tier='full')
