# ViTDet's Cascade Mask R-CNN for ViT-B (facebookresearch/detectron2@02b5c4e,
# projects/ViTDet/configs/COCO/cascade_mask_rcnn_vitdet_b_100ep.py,
# detectron2/modeling/roi_heads/cascade_rcnn.py). Differs: no decomposed relative positions, windows
# at the border hold no padding, and the later stages do not see the boxes of the annotations, so
# the 54.0 / 46.7 printed there are another network's.
_base_ = [
    '../../_base_/models/cascade_mask_rcnn.py',
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
    rpn_head=dict(num_convs=2, loss_bbox=dict(_delete_=True, **_base_.bbox_loss)),
    roi_head=dict(
        type='mim_bench.OneMaskCascadeRoIHead',
        stage_loss_weights=[1, 1, 1],
        bbox_head=[
            {
                **head,
                'norm_cfg': norm_cfg,
                'reg_class_agnostic': True,
                'reg_decoded_bbox': False,
                'loss_bbox': _base_.bbox_loss,
            }
            for head in _base_.model.roi_head.bbox_head
        ],
        mask_head=dict(norm_cfg=norm_cfg),
    ),
    train_cfg=dict(
        rpn=dict(allowed_border=-1),
        rpn_proposal=dict(max_per_img=1000),
        # The later stages keep what the first one sampled.
        rcnn=[
            _base_.model.train_cfg.rcnn[0],
            *(
                {**stage, 'sampler': dict(type='PseudoSampler')}
                for stage in _base_.model.train_cfg.rcnn[1:]
            ),
        ],
    ),
)
protocol = dict(
    task='coco-cascade-mask-rcnn',
    name='coco-cascade-mask-rcnn-vitdet-100e-vit-base',
    version='1',
    tier='full',
)
