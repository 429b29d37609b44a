# ConMIM, ViT-L, 400 epochs: 32 GPUs x 64 images = 2048.
_base_ = './conmim_vit-large_32xb64-amp-coslr-1600e_in1k-224px.py'
train_cfg = dict(max_epochs=400)
protocol = dict(name='pretrain-conmim-400e')
pretraining = dict(epochs=400)
