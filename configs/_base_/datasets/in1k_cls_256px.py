# The same at 256 px; over 224 px nothing is cut off in testing (implus/UM-MAE@cb7776b,
# FINETUNE.md).
_base_ = './in1k_cls_224px.py'
changes_cfg = dict(RandomResizedCrop=dict(scale=256), CenterCrop=dict(crop_size=256))
train_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.train_pipeline]
test_pipeline = [{**step, **changes_cfg.get(step.type, {})} for step in _base_.test_pipeline]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
