# Three times the length, steps at 27 and 33: Swin's detectors and ViT-Adapter's HTC++.
_base_ = './adamw_step_12e.py'
max_epochs = 36
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'end': max_epochs, 'milestones': [27, 33]},
]
train_cfg = dict(max_epochs=max_epochs)
