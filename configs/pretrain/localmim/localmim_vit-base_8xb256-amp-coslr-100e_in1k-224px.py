# LocalMIM, ViT-B, HOG (Haoqing-Wang/LocalMIM@314a6e5, README): 8 GPUs x 256 images = 2048.
_base_ = './localmim_vit-base_8xb256-amp-coslr-1600e_in1k-224px.py'
param_scheduler = dict(warmup_epochs=10)
train_cfg = dict(max_epochs=100)
protocol = dict(name='pretrain-localmim-100e')
pretraining = dict(epochs=100)
