# iBOT's Cascade Mask R-CNN 3x (bytedance/ibot@da316d8): AdamW 1e-4, layer decay 0.65, steps at 27
# and 33. Inferred: 16 images, as Swin's detectors; the rest as CAE's, which was derived from it.
_base_ = './adamw_layer_decay_12e.py'
max_epochs = 36
base_lr = 1e-4
base_batch_size = effective_batch_size = 16
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.65))
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'end': max_epochs, 'milestones': [27, 33]},
]
train_cfg = dict(max_epochs=max_epochs)
