# UPerNet on ViT-B as in LocalMIM's repository (Haoqing-Wang/LocalMIM@314a6e5, its mmseg config):
# the taps are the blocks that pre-training reconstructed from.
_base_ = '../_base_/segmentation/upernet_vit_512px.py'
base_lr = 4e-4
model = dict(backbone=dict(out_indices=(1, 3, 9, 11)), neck=dict(pooling='avg'))
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.65))
protocol = dict(name='ade20k-upernet-localmim-160k')
