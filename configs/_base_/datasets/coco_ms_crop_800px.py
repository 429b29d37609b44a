# Multi-scale training of DETR (SwinTransformer/Swin-Transformer-Object-Detection@c7b2011,
# configs/swin/*_mstrain_480-800_*; the same in iBOT's and CAE's files): a short side of 480 to 800
# px, for one half of the images after a crop of 384 to 600 px.
_base_ = './coco_800px.py'
train_scale_cfg = dict(
    type='RandomChoiceResize',
    scales=[(side, 1333) for side in range(480, 801, 32)],
    keep_ratio=True,
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomChoice',
        transforms=[
            [train_scale_cfg],
            [
                dict(
                    type='RandomChoiceResize',
                    scales=[(400, 1333), (500, 1333), (600, 1333)],
                    keep_ratio=True,
                ),
                dict(
                    type='RandomCrop',
                    crop_type='absolute_range',
                    crop_size=(384, 600),
                    allow_negative_crop=True,
                ),
                train_scale_cfg,
            ],
        ],
    ),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
