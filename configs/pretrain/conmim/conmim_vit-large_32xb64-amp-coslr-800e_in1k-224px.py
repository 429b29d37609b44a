# ConMIM, ViT-L, 800 epochs: 32 GPUs x 64 images = 2048.
_base_ = './conmim_vit-large_32xb64-amp-coslr-1600e_in1k-224px.py'
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-conmim-800e')
pretraining = dict(epochs=800)
