# The common protocol for a ViT with relative positions; --fit-backbone takes any size.
_base_ = ['../../_base_/protocols/ade20k_eomt.py', '../../_base_/backbones/beit_vit.py']
model = dict(backbone=_base_.backbone_cfg)
