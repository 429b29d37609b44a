# The same at 384 px; nothing is cut off in testing (BEiT's crop ratio of 1 at this size).
_base_ = './in1k_cls_224px.py'
changes_cfg = dict(
    RandomResizedCrop=dict(scale=384),
    ResizeEdge=dict(scale=384),
    CenterCrop=dict(crop_size=384),
)
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
test_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
