# The common protocol of fine-tuning on ImageNet-1K at 224 px: MAE's (facebookresearch/mae@efb2a80,
# FINETUNE.md), whose augmentation, optimiser and head the four methods, BEiT and SimMIM share or
# nearly share. The rates by size are those of their sources: ViT of MAE; Swin-T and PVT-S
# (pyramid-small) and Swin-L of UM-MAE (implus/UM-MAE@cb7776b, FINETUNE.md); layer decay of Swin-B
# of SimMIM and LocalMIM. Own choice: one learning rate for the sizes up to B.
_base_ = [
    '../models/classifier.py',
    '../datasets/in1k_cls_224px.py',
    '../schedules/finetune_mae.py',
    '../default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    neck=dict(in_dims='widths[-1]'),
    head=dict(in_channels='widths[-1]'),
)
optim_wrapper = dict(
    optimizer=dict(_delete_=True, type='AdamW', betas=(0.9, 0.999), weight_decay=0.05),
    paramwise_cfg=dict(
        _delete_=True,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        no_decay_names=('pos_embed', 'cls_token'),
    ),
)
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', val_interval=1)
protocol = dict(
    task='in1k-ft',
    name='in1k-ft-common',
    version='2',
    tier='full',
    by_backbone={
        'plain': {
            'model.backbone.out_indices': ['1'],
            'optim_wrapper.optimizer.lr': 2e-3,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.65,
            'model.backbone.drop_path_rate': 0.1,
            'train_cfg.max_epochs': 100,
        },
        'plain-large': {
            'optim_wrapper.optimizer.lr': 4e-3,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75,
            'model.backbone.drop_path_rate': 0.2,
            'train_cfg.max_epochs': 50,
        },
        'plain-huge': {
            'optim_wrapper.optimizer.lr': 4e-3,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75,
            'model.backbone.drop_path_rate': 0.3,
            'train_cfg.max_epochs': 50,
        },
        'pyramid': {
            'model.backbone.out_indices': ['1'],
            'optim_wrapper.optimizer.lr': 2e-3,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.85,
            'model.backbone.drop_path_rate': 0.1,
            'train_cfg.max_epochs': 100,
        },
        'pyramid-base': {'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.9},
        'pyramid-large': {
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.7,
            'model.backbone.drop_path_rate': 0.2,
        },
        # The norm stands behind the pooling, of whatever network.
        'ViT': {'model.backbone.final_norm': False},
        'CapiViT': {'model.backbone.final_norm': False},
        'MixMIMEncoder': {'model.backbone.final_norm': False},
        'TimmBackbone': {'model.backbone.final_norm': False},
        # The largest windows that divide the maps of 224 px.
        'UMMAESwin': {'model.backbone.window_size': 14},
        'UMMAEPvt': {'model.backbone.img_size': 224},
    },
)
