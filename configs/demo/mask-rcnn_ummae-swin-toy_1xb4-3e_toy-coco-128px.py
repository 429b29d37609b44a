# Mask R-CNN on the embedded scenes with UM-MAE's Swin.
_base_ = ['../_base_/toy/mask_rcnn.py', '../_base_/backbones/ummae_swin_toy.py']
model = dict(backbone=dict(**_base_.backbone_cfg, out_indices=(0, 1, 2)))
