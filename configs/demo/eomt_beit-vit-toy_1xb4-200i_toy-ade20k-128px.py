# The common protocol in small for a ViT with relative positions; --fit-backbone takes any size.
_base_ = ['../_base_/protocols/toy_eomt.py', '../_base_/backbones/beit_vit_toy.py']
model = dict(backbone=_base_.backbone_cfg)
