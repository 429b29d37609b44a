# UM-MAE's recipe for ViT-B (implus/UM-MAE@cb7776b, FINETUNE.md).
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_224px.py',
    '../_base_/schedules/finetune_ummae.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(type='mim_bench.ViT', arch='base', final_norm=False, drop_path_rate=0.1),
    neck=dict(in_dims=768),
    head=dict(in_channels=768),
)
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
protocol = dict(task='in1k-ft', name='in1k-ft-ummae-100e-vit-base', version='1', tier='full')
