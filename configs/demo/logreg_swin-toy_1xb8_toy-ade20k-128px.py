# The common protocol in small for the standard Swin; --fit-backbone takes any size.
_base_ = ['../_base_/protocols/toy_logreg.py', '../_base_/backbones/swin_toy.py']
model = dict(backbone=_base_.backbone_cfg)
