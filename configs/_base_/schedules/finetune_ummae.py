# implus/UM-MAE@cb7776b, FINETUNE.md: MAE's recipe with 64 images on a GPU, accumulated twice, and a
# layer decay for pyramids.
_base_ = './finetune_mae.py'
optim_wrapper = dict(accumulative_counts=2, paramwise_cfg=dict(layer_decay_rate=0.85))
