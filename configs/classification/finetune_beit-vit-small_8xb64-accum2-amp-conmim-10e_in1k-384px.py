# Inferred: the second stage of ViT-S, whose result is published and whose settings are not.
_base_ = './finetune_beit-vit-base_8xb64-accum2-amp-conmim-10e_in1k-384px.py'
model = dict(backbone=dict(arch='small'), neck=dict(in_dims=384), head=dict(in_channels=384))
