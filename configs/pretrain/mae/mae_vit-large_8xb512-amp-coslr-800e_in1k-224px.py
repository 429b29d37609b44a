# MAE, ViT-L (facebookresearch/mae@efb2a80, PRETRAIN.md).
_base_ = './mae_vit-large_8xb512-amp-coslr-300e_in1k-224px.py'
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-mae-800e')
pretraining = dict(epochs=800)
