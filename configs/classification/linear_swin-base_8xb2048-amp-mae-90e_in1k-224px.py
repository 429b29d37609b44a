# Inferred: MAE's linear probe on the average of the last map; its source has the class token only.
_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/in1k_linear_224px.py',
    '../_base_/schedules/linear_mae.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(
        type='mim_bench.Swin', arch='base', window_size=7, out_norms=True, frozen_stages=4
    ),
    neck=[
        dict(type='GlobalAveragePooling'),
        dict(type='ClsBatchNormNeck', input_features=1024),
    ],
    head=dict(in_channels=1024),
)
protocol = dict(task='in1k-linear', name='in1k-linear-mae-90e-swin-base', version='1', tier='full')
