# UPerNet on BEiT-B that was fine-tuned on ImageNet after pre-training (BEiT v1, microsoft/unilm,
# its mmseg config that ends in _pt2ft).
_base_ = './upernet_beit-vit-base_8xb2-amp-beit-160k_ade20k-512px.py'
base_lr = 3e-5
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.9))
protocol = dict(name='ade20k-upernet-beitft-160k')
