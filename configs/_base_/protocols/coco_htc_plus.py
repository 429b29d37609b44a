# The common protocol of HTC++ on COCO: ViT-Adapter's open implementation
# (czczup/ViT-Adapter@fd64a51, detection/configs/htc++), 36 epochs, short sides of 400 to 1400 px,
# 16 images. A plain transformer has windows of 14 with four global blocks, layer decay and drop
# path as there for L, and a pyramid of rescaled maps in place of the adapter; a pyramid a fresh
# norm on each map and Swin's drop path. Every backbone starts from pre-trained weights.
_base_ = [
    '../models/htc_plus.py',
    '../datasets/coco_stuff_1400px.py',
    '../schedules/adamw_step_36e.py',
    '../default_runtime.py',
]
default_scope = 'mmdet'
model = dict(neck=None)  # set by the table
train_dataloader = dict(batch_size=1)
protocol = dict(
    task='coco-htc-plus',
    name='coco-htc-plus-common',
    version='3',
    tier='full',
    by_backbone={
        'plain': {
            'model.backbone.out_indices': ['1/4', '1/2', '3/4', '1'],
            'model.backbone.drop_path_rate': 0.1,
            'model.neck': [
                dict(
                    type='mim_bench.ViTPyramid',
                    embed_dims='widths[-1]',
                    in_stride='strides[-1]',
                    norm_cfg=dict(type='GN', num_groups=32),
                ),
                dict(
                    type='mim_bench.GlobalAttention',
                    in_channels='widths[-1]',
                    drop_path_rate=0.3,
                ),
                dict(type='FPN', in_channels='widths', out_channels=256, num_outs=5),
            ],
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.7,
        },
        'plain-large': {
            'model.backbone.drop_path_rate': 0.4,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.9,
        },
        'pyramid': {
            'model.backbone.out_indices': [0, 1, 2, 3],
            'model.backbone.drop_path_rate': 0.3,
            'model.neck': [
                dict(type='mim_bench.StageNorm', in_channels='widths'),
                dict(
                    type='mim_bench.GlobalAttention',
                    in_channels='widths[-1]',
                    drop_path_rate=0.3,
                ),
                dict(type='FPN', in_channels='widths', out_channels=256, num_outs=5),
            ],
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0,
        },
        'pyramid-small': {'model.backbone.drop_path_rate': 0.2},
        'ViT': {
            'model.backbone.final_norm': False,
            'model.backbone.window_size': 14,
            'model.backbone.global_blocks': ['1/4', '1/2', '3/4', '1'],
        },
        'CapiViT': {'model.backbone.final_norm': False},
        'MixMIMEncoder': {'model.backbone.final_norm': False},
        'TimmBackbone': {'model.backbone.final_norm': False},
        'Swin': {'model.backbone.pad_small_map': True},
        'UMMAEPvt': {'model.backbone.img_size': 1024},
    },
)
