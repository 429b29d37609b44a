_base_ = './mask-rcnn_vit-base_16xb2-amp-cae-12e_coco-800px.py'
base_lr = 2e-4
model = dict(
    backbone=dict(arch='large', out_indices=(7, 11, 15, 23)),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=1024, norm_cfg=_base_.norm_cfg),
        dict(type='FPN', in_channels=[1024] * 4, out_channels=256, num_outs=5),
    ],
)
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.85))
