# Inferred: MAE states no linear probe of ViT-S; all settings are those of ViT-B.
_base_ = './linear_vit-base_8xb2048-amp-mae-90e_in1k-224px.py'
model = dict(backbone=dict(arch='small'), neck=dict(input_features=384), head=dict(in_channels=384))
