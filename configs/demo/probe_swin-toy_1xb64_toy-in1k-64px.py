_base_ = ['../_base_/protocols/toy_probe.py', '../_base_/backbones/swin_toy.py']
model = dict(backbone=_base_.backbone_cfg)
