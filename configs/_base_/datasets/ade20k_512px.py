# mmsegmentation 1.2.2's ADE20K, which BEiT, MAE, LocalMIM, iBOT, CAE, Swin and UM-MAE train on
# alike: resize ratio 0.5-2, crop 512 with cat_max_ratio 0.75, flip, photometric.
data_root = 'data/ade/ADEChallengeData2016/'
crop_size = (512, 512)
data_preprocessor = dict(
    type='SegDataPreProcessor',
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    pad_val=0,
    seg_pad_val=255,
    size=crop_size,
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size, cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2048, 512), keep_ratio=True),
    # After the resize: the metric compares with the annotation at its own size.
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
# Six scales, each as it is and flipped; probabilities are averaged.
tta_model = dict(type='SegTTAModel')
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2048 * ratio), int(512 * ratio)), keep_ratio=True)
                for ratio in (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
            ],
            [dict(type='RandomFlip', prob=prob, direction='horizontal') for prob in (0.0, 1.0)],
            [dict(type='LoadAnnotations', reduce_zero_label=True)],
            [dict(type='PackSegInputs')],
        ],
    ),
]
# BEiT's multi-scale test for windows that slide (microsoft/unilm@768a3c8, beit/
# semantic_segmentation/mmcv_custom/resize_transform.py, after SETR): no side is shorter than the
# window, and a long side has no limit. Differs: sizes are rounded as mmseg rounds them.
tta_steps_cfg = tta_pipeline[1]['transforms'][1:]
tta_ratios_cfg = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
sliding_tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='ResizeShortestEdge', scale=max(512, int(512 * ratio)), max_size=100000)
                for ratio in tta_ratios_cfg
            ],
            *tta_steps_cfg,
        ],
    ),
]
train_dataloader = dict(
    batch_size=2,
    num_workers='auto',
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='ADE20KDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers='auto',
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ADE20KDataset',
        data_root=data_root,
        data_prefix=dict(img_path='images/validation', seg_map_path='annotations/validation'),
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='mim_bench.IoUMetric')
test_evaluator = val_evaluator
