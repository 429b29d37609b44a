# Data of HTC++ (Swin, arXiv:2103.14030, A2.2; czczup/ViT-Adapter@fd64a51, detection/configs/htc++):
# InstaBoost, a short side of 400 to 1400 with a long side of at most 1600, flips; test at
# (1600, 1400). Differs: InstaBoost stands after the annotations, where it can edit masks and stuff
# maps; there it stands before them.
_base_ = './coco_800px.py'
image_size = [(1600, 400), (1600, 1400)]
test_scale_cfg = (1600, 1400)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, with_seg=True),
    dict(
        type='mim_bench.InstaBoost',
        actions=('normal', 'horizontal', 'skip'),
        action_probs=(1, 0, 0),
        scale=(0.8, 1.2),
        dx=15,
        dy=15,
        theta=(-1, 1),
        color_prob=0.5,
        aug_ratio=0.5,
    ),
    dict(type='RandomResize', scale=image_size, keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    # An object may have moved out of the image.
    dict(type='FilterAnnotations', min_gt_bbox_wh=(1e-2, 1e-2)),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    {**step, 'scale': test_scale_cfg} if step['type'] == 'Resize' else step
    for step in _base_.test_pipeline
]
train_dataloader = dict(
    dataset=dict(
        data_prefix=dict(img='train2017/', seg='stuffthingmaps/train2017/'),
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
# Multi-scale test (`mim-bench test --tta`; htc++_*_ms.py of the same folder): six short sides, each
# plain and mirrored. The long side is limited where it is far beyond the picture's, at 3000 px.
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(3000, side), keep_ratio=True)
                for side in (600, 800, 1000, 1200, 1400, 1600)
            ],
            [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)],
            [dict(type='LoadAnnotations', with_bbox=True, with_mask=True)],
            [
                dict(
                    type='PackDetInputs',
                    meta_keys=(
                        'img_id',
                        'img_path',
                        'ori_shape',
                        'img_shape',
                        'scale_factor',
                        'scale',
                        'flip',
                        'flip_direction',
                    ),
                )
            ],
        ],
    ),
]
