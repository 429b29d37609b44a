# SimMIM's recipe for Swin-B after 100 epochs of pre-training (microsoft/SimMIM@d3e29bc,
# configs/swin_base__100ep/simmim_finetune__swin_base__img224_window7__100ep.yaml).
_base_ = './finetune_swin-base_8xb256-amp-simmim-100e_in1k-224px.py'
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
protocol = dict(name='in1k-ft-simmimshort-100e')
