# CAE's Mask R-CNN 1x on MAE's kind of ViT-B. CAE's README prints MAE's 48.4 / 42.6 beside its own
# results and does not say how they were trained.
_base_ = './mask-rcnn_beit-vit-base_16xb2-amp-cae-12e_coco-800px.py'
model = dict(backbone=dict(qkv_bias='full', layer_scale=None))
protocol = dict(name='coco-mask-rcnn-cae-12e-base')
