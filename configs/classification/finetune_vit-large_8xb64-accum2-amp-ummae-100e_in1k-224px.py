# Inferred: UM-MAE states no recipe for ViT-L; settings are those of ViT-B, but for the drop path of
# MAE's ViT-L.
_base_ = './finetune_vit-base_8xb64-accum2-amp-ummae-100e_in1k-224px.py'
model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2),
    neck=dict(in_dims=1024),
    head=dict(in_channels=1024),
)
