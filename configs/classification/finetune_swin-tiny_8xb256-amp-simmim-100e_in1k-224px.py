# Inferred: no source states SimMIM's recipe for Swin-T; all settings are those of Swin-B.
_base_ = './finetune_swin-base_8xb256-amp-simmim-100e_in1k-224px.py'
model = dict(backbone=dict(arch='tiny'), head=dict(in_channels=768))
