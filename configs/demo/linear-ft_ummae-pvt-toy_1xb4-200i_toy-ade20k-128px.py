# The common protocol in small for UM-MAE's PVT; --fit-backbone takes any size.
_base_ = ['../_base_/protocols/toy_linear_ft.py', '../_base_/backbones/ummae_pvt_toy.py']
model = dict(backbone=_base_.backbone_cfg)
