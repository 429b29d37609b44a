# UPerNet on BEiT-B from self-supervised weights (BEiT v1, microsoft/unilm, its mmseg config that
# ends in _pt).
_base_ = '../_base_/segmentation/upernet_beit_512px.py'
base_lr = 7e-4
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.65))
protocol = dict(name='ade20k-upernet-beit-160k')
