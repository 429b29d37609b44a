# LocalMIM, Swin-B, normalised pixels: 8 GPUs x 256 images = 2048.
# Inferred: 100 epochs as Haoqing-Wang/LocalMIM@314a6e5 trains Swin-B.
_base_ = './localmim_pixel-swin-base_8xb256-amp-coslr-400e_in1k-224px.py'
param_scheduler = dict(warmup_epochs=10)
train_cfg = dict(max_epochs=100)
protocol = dict(name='pretrain-localmim-pixel-100e')
pretraining = dict(epochs=100)
