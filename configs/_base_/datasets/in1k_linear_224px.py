# A linear classifier on a frozen backbone (MAE, arXiv:2111.06377, appendix A.1): crop and flip.
# Inferred: bicubic, as in fine-tuning.
_base_ = './in1k_cls_224px.py'
augment_pipeline = [dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')]
train_pipeline = [*_base_.train_pipeline[:2], *augment_pipeline]
train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))
