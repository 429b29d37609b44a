# SymMIM, ViT-L, the long schedule: 64 GPUs x 64 images = 4096.
_base_ = './symmim_vit-large_64xb64-amp-coslr-300e_in1k-224px.py'
train_cfg = dict(max_epochs=800)  # inferred: MAE, CMAE
protocol = dict(name='pretrain-symmim-800e')
pretraining = dict(epochs=800)
