# 20 epochs with steps at 16 and 19, as mmdet 3.3 trains HTC (htc_r50_fpn_20e).
_base_ = './adamw_step_12e.py'
max_epochs = 20
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'end': max_epochs, 'milestones': [16, 19]},
]
train_cfg = dict(max_epochs=max_epochs)
