# Inferred: UM-MAE states no recipe for Swin-S; all settings are those of Swin-T.
_base_ = './finetune_ummae-swin-tiny_8xb64-accum2-amp-ummae-100e_in1k-256px.py'
model = dict(backbone=dict(arch='small'))
