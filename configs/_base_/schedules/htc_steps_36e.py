# 36 epochs with steps at 27 and 33: ViT-Adapter's HTC++ (arXiv:2205.08534).
_base_ = './htc_steps_20e.py'
max_epochs = 36
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'end': max_epochs, 'milestones': [27, 33]},
]
train_cfg = dict(max_epochs=max_epochs)
