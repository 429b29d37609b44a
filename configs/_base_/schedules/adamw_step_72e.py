# Six times the length, steps at 63 and 69: Swin's HTC++ (arXiv:2103.14030, A2.2).
_base_ = './adamw_step_12e.py'
max_epochs = 72
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'end': max_epochs, 'milestones': [63, 69]},
]
train_cfg = dict(max_epochs=max_epochs)
