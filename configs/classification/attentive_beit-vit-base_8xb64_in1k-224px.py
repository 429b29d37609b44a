# The common protocol for a ViT with relative positions; --fit-backbone takes any size.
_base_ = ['../_base_/protocols/in1k_attentive.py', '../_base_/backbones/beit_vit.py']
model = dict(backbone=_base_.backbone_cfg)
