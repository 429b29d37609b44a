# Normalise, pool, classify: the head of Swin and SimMIM (mmpretrain 1.2.0, configs/simmim). The
# norm is the backbone's, so that a pre-trained one is used.
_base_ = './classifier.py'
model = dict(
    neck=dict(_delete_=True, type='GlobalAveragePooling'),
    head=dict(init_cfg=dict(std=0.02)),
)
