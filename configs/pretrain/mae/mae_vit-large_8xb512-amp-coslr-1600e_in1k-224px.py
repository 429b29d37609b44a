# MAE, ViT-L (mmpretrain 1.2.0, configs/mae/mae_vit-large-p16_8xb512-amp-coslr-1600e_in1k.py).
_base_ = './mae_vit-large_8xb512-amp-coslr-300e_in1k-224px.py'
train_cfg = dict(max_epochs=1600)
protocol = dict(name='pretrain-mae-1600e')
pretraining = dict(epochs=1600)
