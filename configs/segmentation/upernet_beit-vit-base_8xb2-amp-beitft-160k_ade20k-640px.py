# BEiT-B after fine-tuning on ImageNet, 640 px (BEiT v1, microsoft/unilm, its mmseg config).
_base_ = '../_base_/segmentation/upernet_beit_640px.py'
base_lr = 3e-5
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.9))
protocol = dict(name='ade20k-upernet-beitft-160k-640px')
