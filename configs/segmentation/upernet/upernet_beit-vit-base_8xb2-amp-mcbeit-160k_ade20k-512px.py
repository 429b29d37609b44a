# mc-BEiT's variant of BEiT's recipe for self-supervised weights (lixiaotong97/mc-BEiT@6d92c3c,
# semantic_segmentation/configs/mcbeit/upernet/upernet_mcbeit_base_12_512_slide_160k_ade20k_pt.py).
_base_ = './upernet_beit-vit-base_8xb2-amp-beit-160k_ade20k-512px.py'
base_lr = 8e-5
optim_wrapper = dict(optimizer=dict(lr=base_lr), paramwise_cfg=dict(layer_decay_rate=0.9))
protocol = dict(name='ade20k-upernet-mcbeit-160k')
