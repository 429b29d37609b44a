# UPerNet on the embedded scenes with the standard Swin.
_base_ = ['../_base_/toy/upernet.py', '../_base_/backbones/swin_toy.py']
model = dict(backbone=dict(**_base_.backbone_cfg, out_indices=(0, 1, 2), pad_small_map=True))
