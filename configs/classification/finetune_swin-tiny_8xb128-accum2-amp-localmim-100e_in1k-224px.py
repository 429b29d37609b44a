# Inferred: LocalMIM states no recipe for Swin-T; all settings are those of Swin-B.
_base_ = './finetune_swin-base_8xb128-accum2-amp-localmim-100e_in1k-224px.py'
model = dict(backbone=dict(arch='tiny'), neck=dict(in_dims=768), head=dict(in_channels=768))
