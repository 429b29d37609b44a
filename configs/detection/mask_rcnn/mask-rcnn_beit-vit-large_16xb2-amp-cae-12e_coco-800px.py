# CAE's Mask R-CNN 1x for ViT-L (Atten4Vis/CAE@a7fd162, the file
# vit_large_giou_4conv1f_coco_maskrcnn_1x_cae_sincos_init0.1_lr00002_lrdr0.85_dp0.2.py beside
# ViT-B's).
_base_ = './mask-rcnn_beit-vit-base_16xb2-amp-cae-12e_coco-800px.py'
base_lr = 2e-4
model = dict(
    backbone=dict(arch='large', layer_scale=1e-5, out_indices=(7, 11, 15, 23)),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=1024, norm_cfg=_base_.norm_cfg),
        dict(type='FPN', in_channels=[1024] * 4, out_channels=256, num_outs=5),
    ],
)
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.85))
protocol = dict(name='coco-mask-rcnn-cae-12e-large')
