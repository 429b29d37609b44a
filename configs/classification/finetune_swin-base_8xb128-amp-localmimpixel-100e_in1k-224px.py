# LocalMIM's recipe for Swin-B after 400 epochs of predicting pixels (Haoqing-Wang/LocalMIM@314a6e5,
# Swin/README.md), windows of 7: 4e-3 for 8 GPUs x 128 images = 1024. It pools before it normalises,
# and its norms have other epsilons than Microsoft's Swin.
_base_ = [
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_224px.py',
    '../_base_/schedules/finetune_localmim.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(
        type='mim_bench.Swin',
        arch='base',
        window_size=7,
        drop_path_rate=0.1,
        norm_eps=1e-6,
        norm2_eps=1e-5,
    ),
    neck=dict(in_dims=1024),
    head=dict(in_channels=1024),
)
base_lr = 4e-3
optim_wrapper = dict(
    optimizer=dict(lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size),
    paramwise_cfg=dict(layer_decay_rate=0.9),
)
param_scheduler = dict(min_lr=2.5e-7)
protocol = dict(task='in1k-ft', name='in1k-ft-localmimpixel-100e', version='1', tier='full')
