# CAE's Mask R-CNN 1x on MAE's kind of ViT-L. CAE's README prints MAE's 54.0 / 47.1 beside its own
# results and does not say how they were trained.
_base_ = './mask-rcnn_beit-vit-large_16xb2-amp-cae-12e_coco-800px.py'
model = dict(backbone=dict(qkv_bias='full', layer_scale=None))
protocol = dict(name='coco-mask-rcnn-cae-12e-large')
