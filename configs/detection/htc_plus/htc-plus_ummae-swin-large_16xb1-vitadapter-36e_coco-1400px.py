# HTC++ 3x for UM-MAE's Swin-L, as ViT-Adapter trains the standard one, with a LayerNorm on each map
# in place of the backbone's own. UM-MAE's config is private (implus/UM-MAE, issue 4), so its
# 57.4 / 49.8 may have other settings; 36 epochs stand in ViT-Adapter's paper (arXiv:2205.08534,
# table 8), all else is inferred.
_base_ = [
    '../../_base_/models/htc_plus.py',
    '../../_base_/datasets/coco_stuff_1400px.py',
    '../../_base_/schedules/adamw_step_36e.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
stage_dims = [192, 384, 768, 1536]
proposal_nms_cfg = dict(type='soft_nms', iou_threshold=0.7)
model = dict(
    # with_cp: the same numbers from less memory.
    backbone=dict(
        type='mim_bench.UMMAESwin',
        arch='large',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
        with_cp=True,
    ),
    neck=[
        dict(type='mim_bench.StageNorm', in_channels=stage_dims),
        {**_base_.model.neck[0], 'in_channels': stage_dims[-1]},
        {**_base_.model.neck[1], 'in_channels': stage_dims},
    ],
    train_cfg=dict(rpn_proposal=dict(nms=proposal_nms_cfg)),
    test_cfg=dict(rpn=dict(nms=proposal_nms_cfg)),
)
train_dataloader = dict(batch_size=1)
protocol = dict(
    task='coco-htc-plus', name='coco-htc-plus-vitadapter-36e-ummae', version='1', tier='full'
)
