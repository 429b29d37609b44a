# UPerNet on MAE's ViT-B as mmsegmentation 1.2.2 trains it (configs/mae/
# mae-base_upernet_8xb2-amp-160k_ade20k-512x512.py): beside its absolute positions every block gets
# a table of relative positions that starts from zeros, and a layer scale that starts from ones.
_base_ = [
    '../../_base_/models/upernet.py',
    '../../_base_/datasets/ade20k_512px.py',
    '../../_base_/schedules/adamw_poly_160k.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmseg'
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        img_size=512,
        rel_pos_bias='per_block',
        layer_scale=1.0,
        out_indices=(3, 5, 7, 11),
        final_norm=False,
        drop_path_rate=0.1,
    ),
    neck=dict(type='mim_bench.ViTPyramid', embed_dims=768),
    # That of 1.2.2; the maintained fork of mmsegmentation slides by 341.
    test_cfg=dict(stride=(256, 256)),
)
tta_pipeline = _base_.sliding_tta_pipeline
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(task='ade20k-upernet', name='ade20k-upernet-mae-160k', version='1', tier='full')
