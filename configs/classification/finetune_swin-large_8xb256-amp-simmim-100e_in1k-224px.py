# SimMIM's recipe for Swin-L with windows of 14 (mmpretrain 1.2.0,
# configs/simmim/benchmarks/swin-large-w14_8xb256-coslr-100e_in1k.py).
# Differs: the last stage has windows of 7, its whole map, as in the official Swin; mmpretrain pads
# that map to 14.
_base_ = './finetune_swin-base_8xb256-amp-simmim-100e_in1k-224px.py'
model = dict(
    backbone=dict(arch='large', window_size=(14, 14, 14, 7), drop_path_rate=0.2),
    head=dict(in_channels=1536),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.7))
