# The second stage of ViT-L: 5 epochs more. Inferred, as for ViT-B, with BEiT's layer decay and drop
# path of ViT-L.
_base_ = './finetune_beit-vit-base_8xb64-accum2-amp-conmim-10e_in1k-384px.py'
model = dict(
    backbone=dict(arch='large', layer_scale=1e-5, drop_path_rate=0.2),
    neck=dict(in_dims=1024),
    head=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.9))
param_scheduler = dict(warmup_epochs=0.5)
train_cfg = dict(max_epochs=5)
protocol = dict(name='in1k-ft-conmim-5e')
