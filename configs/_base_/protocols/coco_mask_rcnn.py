# The common protocol of Mask R-CNN on COCO: 25 epochs at 1024 px with large-scale jitter, the
# length that Benchmarking-ViT (arXiv:2111.11429; hustvl/MIMDet@fb0aaa1) publishes as its shortest
# and UM-MAE (implus/UM-MAE@cb7776b, its mmdet config) uses, whose optimiser and schedule these are:
# AdamW 1e-4 for 16 images, cosine. A plain transformer has windows of 16 with four global blocks
# and a pyramid of their outputs, as Benchmarking-ViT; a pyramid a fresh norm on each map, as Swin.
# Layer decay and drop path of ViT: ViTDet (facebookresearch/detectron2@02b5c4e); drop path of
# pyramids: UM-MAE and Swin. Every backbone starts from pre-trained weights.
_base_ = [
    '../models/mask_rcnn.py',
    '../datasets/coco_lsj_1024px.py',
    '../schedules/adamw_coslr_25e.py',
    '../default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    data_preprocessor=dict(
        # In training only.
        batch_augments=[dict(type='BatchFixedSizePad', size=_base_.image_size, pad_mask=True)]
    ),
    neck=None,  # set by the table
)
optim_wrapper = dict(
    paramwise_cfg=dict(norm_decay_mult=0.0, bias_decay_mult=0.0, no_decay_names=('pos_embed',)),
)
protocol = dict(
    task='coco-mask-rcnn',
    name='coco-mask-rcnn-common',
    version='3',
    tier='full',
    by_backbone={
        'plain': {
            'model.backbone.img_size': 1024,
            'model.backbone.out_indices': ['1/4', '1/2', '3/4', '1'],
            'model.backbone.drop_path_rate': 0.1,
            'model.neck': [
                dict(
                    type='mim_bench.ViTPyramid',
                    embed_dims='widths[-1]',
                    in_stride='strides[-1]',
                    norm_cfg=dict(type='GN', num_groups=32),
                ),
                dict(type='FPN', in_channels='widths', out_channels=256, num_outs=5),
            ],
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.7,
        },
        'plain-large': {
            'model.backbone.drop_path_rate': 0.4,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.8,
        },
        'plain-huge': {
            'model.backbone.drop_path_rate': 0.5,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.9,
        },
        'pyramid': {
            'model.backbone.out_indices': [0, 1, 2, 3],
            'model.backbone.drop_path_rate': 0.3,
            'model.neck': [
                dict(type='mim_bench.StageNorm', in_channels='widths'),
                dict(type='FPN', in_channels='widths', out_channels=256, num_outs=5),
            ],
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0,
        },
        'pyramid-small': {'model.backbone.drop_path_rate': 0.1},
        'ViT': {
            'model.backbone.final_norm': False,
            'model.backbone.window_size': 16,
            'model.backbone.global_blocks': ['1/4', '1/2', '3/4', '1'],
        },
        'CapiViT': {'model.backbone.final_norm': False},
        'MixMIMEncoder': {'model.backbone.final_norm': False},
        'TimmBackbone': {'model.backbone.final_norm': False},
        'Swin': {'model.backbone.pad_small_map': True},
        'UMMAEPvt': {'model.backbone.img_size': 1024},
    },
)
