# ViTDet's Mask R-CNN for ViT-B (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/mask_rcnn_vitdet_b_100ep.py, configs/common/models/
# mask_rcnn_vitdet.py). Differs: no decomposed relative positions, and windows at the border hold no
# padding, so the 51.6 / 45.9 printed there are another network's.
_base_ = [
    '../../_base_/models/mask_rcnn.py',
    '../../_base_/datasets/coco_lsj_1024px.py',
    '../../_base_/schedules/adamw_step_100e_64b.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
norm_cfg = dict(type='mmpretrain.LN2d', eps=1e-6)
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    # The table of positions stays that of 224 px and is interpolated in every step.
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        final_norm=False,
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
    neck=dict(
        _delete_=True, type='mim_bench.SimpleFeaturePyramid', in_channels=768, out_channels=256
    ),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(type='Shared4Conv1FCBBoxHead', conv_out_channels=256, norm_cfg=norm_cfg),
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(rcnn=dict(assigner=dict(match_low_quality=False))),
)
protocol = dict(
    task='coco-mask-rcnn', name='coco-mask-rcnn-vitdet-100e-vit-base', version='1', tier='full'
)
