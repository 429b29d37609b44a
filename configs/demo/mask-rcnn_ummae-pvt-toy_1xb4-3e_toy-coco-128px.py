# Mask R-CNN on the embedded scenes with UM-MAE's PVT.
_base_ = ['../_base_/toy/mask_rcnn.py', '../_base_/backbones/ummae_pvt_toy.py']
model = dict(backbone=dict(**_base_.backbone_cfg, out_indices=(0, 1, 2), img_size=128))
