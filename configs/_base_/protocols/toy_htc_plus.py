# HTC++ on the embedded scenes: ten digits, whose stuff maps have eleven classes.
_base_ = ['./coco_htc_plus.py', './toy_dense.py']
data_root = 'data/toy/coco/'
image_size = [(160, 96), (160, 128)]
max_iters = 300
base_lr = 1e-3
base_batch_size = effective_batch_size = 4
warmup_iters = 50
num_classes = 10
metainfo = _base_.toy_digits_cfg
roi_cfg = dict(out_channels=48, featmap_strides=[4, 8, 16])
head_cfg = dict(in_channels=48, conv_out_channels=48, num_classes=num_classes)
model = dict(
    # Digits are 20 to 70 pixels high, so anchors are half of COCO's.
    rpn_head=dict(
        in_channels=48,
        feat_channels=48,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    roi_head=dict(
        bbox_roi_extractor=roi_cfg,
        bbox_head=[
            {**head, **head_cfg, 'fc_out_channels': 128} for head in _base_.model.roi_head.bbox_head
        ],
        mask_roi_extractor=roi_cfg,
        mask_head=[
            {**head, **head_cfg, 'num_convs': 2} for head in _base_.model.roi_head.mask_head
        ],
        semantic_roi_extractor=dict(out_channels=48),
        semantic_head=dict(
            num_ins=4, num_convs=2, in_channels=48, conv_out_channels=48, num_classes=11
        ),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=64)),
        rpn_proposal=dict(nms_pre=200, max_per_img=100),
        rcnn=[
            {**stage, 'sampler': {**stage['sampler'], 'num': 64}}
            for stage in _base_.model.train_cfg.rcnn
        ],
    ),
    test_cfg=dict(rpn=dict(nms_pre=200, max_per_img=100), rcnn=dict(max_per_img=30)),
)
tta_model = dict(
    tta_cfg=dict(max_per_img=60),
    area_filter=[(96, ('medium', 'large')), (128, ('small', 'medium')), (160, ('small', 'medium'))],
)
# Without flips: a mirrored digit is no digit.
train_pipeline = [
    {**step, 'scale': image_size} if step['type'] == 'RandomResize' else step
    for step in _base_.train_pipeline
    if step['type'] != 'RandomFlip'
]
test_pipeline = [
    {**step, 'scale': (160, 128)} if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(192, side), keep_ratio=True) for side in (96, 128, 160)],
            [dict(type='RandomFlip', prob=0.0)],
            *_base_.tta_pipeline[1]['transforms'][2:],
        ],
    ),
]
loader = dict(num_workers=0, persistent_workers=False)
dataset = dict(data_root=data_root, metainfo=metainfo)
train_dataloader = dict(
    batch_size=4,
    **loader,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**dataset, pipeline=train_pipeline),
)
val_dataloader = dict(**loader, dataset=dict(**dataset, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    # Cosine as the other demos: so short a training has no use for two steps.
    dict(
        type='CosineAnnealingLR',
        eta_min=base_lr * 0.01,
        by_epoch=False,
        begin=0,
        end=max_iters,
        T_max=max_iters,
    ),
]
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=max_iters))
log_processor = dict(by_epoch=False)
attention_cfg = dict(type='mim_bench.GlobalAttention', in_channels='widths[-1]')
behind_cfg = [attention_cfg, dict(_base_.toy_projection_cfg, norm=True), _base_.toy_fpn_cfg]
protocol = dict(
    name='toy-htc-plus',
    tier='smoke',
    by_backbone={
        '_delete_': True,
        'plain': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.plain,
            'model.neck': [_base_.toy_rescaling_cfg, *behind_cfg],
        },
        'pyramid': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.pyramid,
            'model.neck': behind_cfg,
        },
        **_base_.toy_families_cfg,
    },
)
