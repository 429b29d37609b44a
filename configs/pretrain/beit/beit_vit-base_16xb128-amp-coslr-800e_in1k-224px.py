# BEiT, ViT-B, 800 epochs (microsoft/unilm@768a3c8, beit/README.md): 16 GPUs x 128 images = 2048.
_base_ = './beit_vit-base_8xb256-amp-coslr-300e_in1k-224px.py'
train_dataloader = dict(batch_size=128)
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-beit-800e')
pretraining = dict(epochs=800)
