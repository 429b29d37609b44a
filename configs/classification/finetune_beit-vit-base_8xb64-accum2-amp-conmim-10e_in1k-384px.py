# ConMIM's second stage at 384 px (arXiv:2205.09616, table 1): a tenth of the epochs more, from the
# whole model that was fine-tuned at 224 px. Give that file by --load-from; its tables are resized.
# Inferred: rate, weight decay and layer decay, from BEiT's command for 384 px after ImageNet-22K;
# batch, floor and augmentation, as at 224 px; a tenth of the stage as warm-up.
_base_ = [
    '../_base_/backbones/beit_vit.py',
    '../_base_/models/classifier.py',
    '../_base_/datasets/in1k_cls_384px.py',
    '../_base_/schedules/finetune_beit.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    backbone=dict(
        **_base_.backbone_cfg,
        img_size=384,
        final_norm=False,
        drop_path_rate=0.1,
    ),
    neck=dict(in_dims=768),
    head=dict(in_channels=768),
)
train_dataloader = dict(batch_size=64)
base_lr = 2e-5
optim_wrapper = dict(
    accumulative_counts=2,
    optimizer=dict(
        lr=base_lr * _base_.effective_batch_size / _base_.base_batch_size, weight_decay=1e-8
    ),
    paramwise_cfg=dict(layer_decay_rate=0.85),
)
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=10)
protocol = dict(task='in1k-ft', name='in1k-ft-conmim-10e', version='1', tier='full')
