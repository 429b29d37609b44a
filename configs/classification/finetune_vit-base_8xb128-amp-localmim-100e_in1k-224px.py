# LocalMIM's recipe for ViT-B after 1,600 epochs of pre-training; 8 GPUs x 128 images = 1024.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_bilinear_224px.py',
    '../_base_/schedules/finetune_localmim.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(type='mim_bench.ViT', arch='base', final_norm=False, drop_path_rate=0.1),
    neck=dict(in_dims=768),
    head=dict(in_channels=768),
)
protocol = dict(task='in1k-ft', name='in1k-ft-localmim-100e-vit-base', version='1', tier='full')
