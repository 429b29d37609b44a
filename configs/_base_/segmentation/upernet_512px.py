# What all UPerNet recipes at 512 px share.
_base_ = [
    '../models/upernet.py',
    '../datasets/ade20k_512px.py',
    '../schedules/adamw_poly_160k.py',
    '../default_runtime.py',
]
default_scope = 'mmseg'
model = dict(data_preprocessor=_base_.data_preprocessor)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(task='ade20k-upernet', version='1', tier='full')
