# Inferred: ConMIM's repository reports a ViT-S and states no recipe for it (rate, epochs and layer
# decay are unknown); all settings are those of ViT-B.
_base_ = './finetune_beit-vit-base_8xb128-amp-conmim-100e_in1k-224px.py'
model = dict(backbone=dict(arch='small'), neck=dict(in_dims=384), head=dict(in_channels=384))
