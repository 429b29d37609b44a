# The same at 256 px, the whole image in testing, as in fine-tuning at that size.
_base_ = './in1k_cls_256px.py'
augment_pipeline = [dict(type='RandomFlip', prob=0.5), dict(type='PackInputs')]
train_pipeline = [*_base_.train_pipeline[:2], *augment_pipeline]
train_dataloader = dict(batch_size=2048, dataset=dict(pipeline=train_pipeline))
