# LocalMIM, ViT-L, HOG: 8 GPUs x 128 images x 4 accumulated = 4096.
# Inferred: the warm-up of ViT-B's 100 epochs; Haoqing-Wang/LocalMIM@314a6e5 has 800 for ViT-L.
_base_ = './localmim_vit-large_8xb128-accum4-amp-coslr-800e_in1k-224px.py'
param_scheduler = dict(warmup_epochs=10)
train_cfg = dict(max_epochs=100)
protocol = dict(name='pretrain-localmim-100e')
pretraining = dict(epochs=100)
