# SymMIM, ViT-B, a short schedule for ablations: 32 GPUs x 128 images = 4096.
_base_ = './symmim_vit-base_32xb128-amp-coslr-300e_in1k-224px.py'
param_scheduler = dict(warmup_epochs=10)  # inferred: this project's choice
train_cfg = dict(max_epochs=100)
protocol = dict(name='pretrain-symmim-100e')
pretraining = dict(epochs=100)
