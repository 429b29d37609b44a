# LocalMIM, ViT-B, normalised pixels: 8 GPUs x 256 images = 2048.
# Inferred: as the sibling of 1600 epochs says; the warm-up is that of ViT-B's 100 epochs.
_base_ = './localmim_pixel-vit-base_8xb256-amp-coslr-1600e_in1k-224px.py'
param_scheduler = dict(warmup_epochs=10)
train_cfg = dict(max_epochs=100)
protocol = dict(name='pretrain-localmim-pixel-100e')
pretraining = dict(epochs=100)
