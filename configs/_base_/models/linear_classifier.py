# MAE's linear classifier (arXiv:2111.06377, appendix A.1): a batch norm without weights on the
# features of a frozen backbone. A leaf gives the backbone, all of its stages frozen, and its width.
model = dict(
    type='ImageClassifier',
    neck=dict(type='ClsBatchNormNeck'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=dict(type='CrossEntropyLoss'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=0.01),
    ),
)
