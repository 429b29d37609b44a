# The common protocol of UPerNet on ADE20K at 512 px, 160,000 iterations, sliding test: what BEiT,
# MAE (mmsegmentation 1.2.2, configs/mae), LocalMIM's ViT and UM-MAE (implus/UM-MAE@cb7776b) share,
# AdamW 1e-4 among it. Every backbone starts from pre-trained weights. Layer decay and drop path:
# ViT of MAE and, for L, of LocalMIM's fine-tuning; pyramids have no layer decay, as UM-MAE's and
# Swin's, and Swin's drop path of 0.3 from B on. A plain transformer gets BEiT's pyramid on four
# taps, a pyramid a fresh norm on each map, as Swin's own recipe has it.
_base_ = [
    '../models/upernet.py',
    '../datasets/ade20k_512px.py',
    '../schedules/adamw_poly_160k.py',
    '../default_runtime.py',
]
default_scope = 'mmseg'
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    decode_head=dict(in_channels='widths'),
    auxiliary_head=dict(in_channels='widths[2]'),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        _delete_=True, norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0
    ),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(
    task='ade20k-upernet',
    name='ade20k-upernet-common',
    version='3',
    tier='full',
    by_backbone={
        'plain': {
            'model.backbone.img_size': 512,
            'model.backbone.out_indices': ['1/3', '1/2', '2/3', '1'],
            'model.backbone.drop_path_rate': 0.1,
            'model.neck': dict(
                type='mim_bench.ViTPyramid', embed_dims='widths[-1]', in_stride='strides[-1]'
            ),
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.65,
        },
        'plain-large': {
            'model.backbone.drop_path_rate': 0.2,
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 0.75,
        },
        'pyramid': {
            'model.backbone.out_indices': [0, 1, 2, 3],
            'model.backbone.drop_path_rate': 0.3,
            'model.neck': dict(type='mim_bench.StageNorm', in_channels='widths'),
            'optim_wrapper.paramwise_cfg.layer_decay_rate': 1.0,
        },
        'pyramid-small': {'model.backbone.drop_path_rate': 0.1},
        # No norm behind the last block, which the maps of other blocks lack too.
        'ViT': {'model.backbone.final_norm': False},
        'CapiViT': {'model.backbone.final_norm': False},
        'MixMIMEncoder': {'model.backbone.final_norm': False},
        'TimmBackbone': {'model.backbone.final_norm': False},
        'Swin': {'model.backbone.pad_small_map': True},
        'UMMAEPvt': {'model.backbone.img_size': 512},
    },
)
