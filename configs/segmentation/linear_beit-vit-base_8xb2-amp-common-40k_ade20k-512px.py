_base_ = ['../_base_/protocols/ade20k_linear.py', '../_base_/backbones/beit_vit.py']
model = dict(backbone=_base_.backbone_cfg)
