# ConMIM, ViT-B, 300 epochs: 32 GPUs x 64 images = 2048.
_base_ = './conmim_vit-base_32xb64-amp-coslr-800e_in1k-224px.py'
train_cfg = dict(max_epochs=300)
protocol = dict(name='pretrain-conmim-300e')
pretraining = dict(epochs=300)
