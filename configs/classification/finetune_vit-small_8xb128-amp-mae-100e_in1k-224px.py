# Inferred: MAE states no recipe for ViT-S; all settings are those of ViT-B.
_base_ = './finetune_vit-base_8xb128-amp-mae-100e_in1k-224px.py'
model = dict(backbone=dict(arch='small'), neck=dict(in_dims=384), head=dict(in_channels=384))
