# Inferred: UM-MAE's Swin by this recipe.
_base_ = [
    './htc-no-stuff_swin-tiny_8xb2-mmdet-20e_coco-800px.py',
    '../_base_/backbones/ummae_swin_dense.py',
]
model = dict(
    backbone=dict(_delete_=True, **_base_.ummae_swin_cfg),
    neck=[_base_.stage_norm_cfg, _base_.model.neck],
)
