# Frozen features of patches on ADE20K: whole images as squares of 512 px, training images with the
# annotation at the same size, as facebookresearch/capi@3493b57 (eval_segmentation.py) has it.
# Differs: scores are resized to the annotation's own size before they are compared.
_base_ = './ade20k_512px.py'
bank_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='Resize', scale=(512, 512), keep_ratio=False),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(512, 512), keep_ratio=False),
    # After the resize: the metric compares with the annotation at its own size.
    dict(type='LoadAnnotations', reduce_zero_label=True),
    dict(type='PackSegInputs'),
]
tta_model = None
tta_pipeline = None
train_dataloader = None
val_dataloader = None
val_evaluator = None
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
bank_dataloader = dict(
    batch_size=8,
    num_workers='auto',
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ADE20KDataset',
        data_root=_base_.data_root,
        data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'),
        pipeline=bank_pipeline,
    ),
)
