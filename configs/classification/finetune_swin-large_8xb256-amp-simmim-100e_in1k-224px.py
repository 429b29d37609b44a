# SimMIM's recipe for Swin-L after 800 epochs of pre-training (microsoft/SimMIM@d3e29bc,
# configs/swin_large__800ep/simmim_finetune__swin_large__img224_window14__800ep.yaml): windows of
# 14, in the last stage of 7, its whole map.
_base_ = './finetune_swin-base_8xb256-amp-simmim-100e_in1k-224px.py'
model = dict(
    backbone=dict(arch='large', window_size=(14, 14, 14, 7), drop_path_rate=0.2),
    head=dict(in_channels=1536),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
protocol = dict(name='in1k-ft-simmim-100e-swin-large')
