# UPerNet on BEiT-B from self-supervised weights (microsoft/unilm@768a3c8, beit/
# semantic_segmentation/configs/beit/upernet/upernet_beit_base_12_512_slide_160k_ade20k_pt.py): the
# taps go into the pyramid without a norm.
_base_ = [
    '../../_base_/models/upernet.py',
    '../../_base_/datasets/ade20k_512px.py',
    '../../_base_/schedules/adamw_poly_160k.py',
    '../../_base_/backbones/beit_vit.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmseg'
base_lr = 7e-4
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        **_base_.backbone_cfg,
        img_size=512,
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        drop_path_rate=0.1,
    ),
    neck=dict(type='mim_bench.ViTPyramid', embed_dims=768),
)
tta_pipeline = _base_.sliding_tta_pipeline
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.65))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(task='ade20k-upernet', name='ade20k-upernet-beit-160k', version='1', tier='full')
