# UPerNet on ViT-B as in mmsegmentation's config for MAE.
_base_ = '../_base_/segmentation/upernet_vit_512px.py'
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.65))
protocol = dict(name='ade20k-upernet-mae-160k')
