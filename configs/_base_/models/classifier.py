# Pool, normalise, classify: MAE's head for fine-tuning (facebookresearch/mae@efb2a80), LocalMIM's,
# UM-MAE's, BEiT's and ConMIM's, whose layer starts almost at 0. A leaf gives the backbone and its
# width. timm's mixup or cutmix, each with probability 0.5, one ratio a batch, with the batch in
# reverse order.
model = dict(
    type='ImageClassifier',
    neck=dict(type='mim_bench.PooledNorm'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
        init_cfg=dict(type='TruncNormal', layer='Linear', std=2e-5),
    ),
    train_cfg=dict(
        augments=[dict(type='mim_bench.Mixup', mixup_alpha=0.8, cutmix_alpha=1.0)],
    ),
)
