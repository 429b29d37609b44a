# MAE's linear probe of ViT-B, on the class token; 8 GPUs x 2048 images = 16384.
_base_ = [
    '../_base_/models/linear_classifier.py',
    '../_base_/datasets/in1k_linear_224px.py',
    '../_base_/schedules/linear_mae.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(type='mim_bench.ViT', arch='base', out_type='cls_token', frozen_stages=12),
    neck=dict(input_features=768),
    head=dict(in_channels=768),
)
protocol = dict(task='in1k-linear', name='in1k-linear-mae-90e', version='1', tier='full')
