# ConMIM, ViT-L (TencentARC/ConMIM@4263955, README): 32 GPUs x 64 images = 2048.
_base_ = './conmim_vit-base_32xb64-amp-coslr-800e_in1k-224px.py'
model = dict(backbone=dict(arch='large', layer_scale_init_value=1e-5), neck=dict(in_channels=1024))
train_cfg = dict(max_epochs=1600)
protocol = dict(name='pretrain-conmim-1600e')
pretraining = dict(epochs=1600)
