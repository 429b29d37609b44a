# CAE's UPerNet for ViT-L (Atten4Vis/CAE@a7fd162, the file
# upernet_cae_large_24_512_slide_160k_ade20k_pt_decay095_4e-5_dp015.py beside ViT-B's).
_base_ = [
    '../../_base_/models/upernet.py',
    '../../_base_/datasets/ade20k_512px.py',
    '../../_base_/schedules/adamw_poly_160k.py',
    '../../_base_/backbones/beit_vit.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmseg'
base_lr = 4e-5
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone={
        **_base_.backbone_cfg,
        'arch': 'large',
        'abs_pos': 'fixed',
        'layer_scale': 1e-5,
        'img_size': 512,
        'out_indices': (7, 11, 15, 23),
        'final_norm': False,
        'drop_path_rate': 0.15,
    },
    neck=dict(type='mim_bench.ViTPyramid', embed_dims=1024),
    decode_head=dict(in_channels=[1024] * 4, channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
tta_pipeline = _base_.sliding_tta_pipeline
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.95))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(
    task='ade20k-upernet', name='ade20k-upernet-cae-160k-large', version='1', tier='full'
)
