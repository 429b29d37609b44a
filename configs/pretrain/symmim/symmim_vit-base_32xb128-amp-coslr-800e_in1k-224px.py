# SymMIM, ViT-B, the long schedule: 32 GPUs x 128 images = 4096.
_base_ = './symmim_vit-base_32xb128-amp-coslr-300e_in1k-224px.py'
train_cfg = dict(max_epochs=800)  # inferred: MAE, CMAE
protocol = dict(name='pretrain-symmim-800e')
pretraining = dict(epochs=800)
