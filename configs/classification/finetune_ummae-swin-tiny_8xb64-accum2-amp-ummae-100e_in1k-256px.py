# UM-MAE's recipe for its Swin-T; 8 GPUs x 64 images x 2 accumulated = 1024.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_256px.py',
    '../_base_/schedules/finetune_ummae.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(type='mim_bench.UMMAESwin', arch='tiny', drop_path_rate=0.1),
    neck=dict(in_dims=768),
    head=dict(in_channels=768),
)
train_dataloader = dict(batch_size=64)
protocol = dict(task='in1k-ft', name='in1k-ft-ummae-100e-pyramid', version='1', tier='full')
