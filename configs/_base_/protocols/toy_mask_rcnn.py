# Mask R-CNN on the embedded scenes: ten digits.
_base_ = ['./coco_mask_rcnn.py', './toy_dense.py']
data_root = 'data/toy/coco/'
image_size = (128, 128)
max_epochs = 3
base_lr = 1e-3
base_batch_size = effective_batch_size = 4
warmup_iters = 50
num_classes = 10
metainfo = _base_.toy_digits_cfg
roi = dict(out_channels=48, featmap_strides=[4, 8, 16])
model = dict(
    data_preprocessor=dict(batch_augments=None),
    # Digits are 20 to 70 pixels high, so anchors are half of COCO's.
    rpn_head=dict(
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=roi,
        bbox_head=dict(in_channels=48, fc_out_channels=128, num_classes=num_classes),
        mask_roi_extractor=roi,
        mask_head=dict(num_convs=2, in_channels=48, conv_out_channels=48, num_classes=num_classes),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=30)),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomResize', scale=(160, 128), ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(
        type='RandomCrop',
        crop_size=image_size,
        recompute_bbox=True,
        allow_negative_crop=True,
    ),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(160, 128), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]
loader = dict(num_workers=0, persistent_workers=False)
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(batch_size=4, **loader, dataset=dict(**dataset, pipeline=train_pipeline))
val_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.05),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0),
)
param_scheduler = [
    dict(_base_.param_scheduler[0], end=warmup_iters),
    dict(_base_.param_scheduler[1], eta_min=base_lr * 0.01, end=max_epochs, T_max=max_epochs),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
projection_cfg = dict(_base_.toy_projection_cfg, norm=True)
protocol = dict(
    name='toy-mask-rcnn',
    tier='smoke',
    by_backbone={
        '_delete_': True,
        'plain': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.plain,
            'model.neck': [_base_.toy_rescaling_cfg, projection_cfg, _base_.toy_fpn_cfg],
        },
        'pyramid': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.pyramid,
            'model.neck': [projection_cfg, _base_.toy_fpn_cfg],
        },
        **_base_.toy_families_cfg,
    },
)
