# UM-MAE's Swin by the same recipe (UM-MAE's own HTC++ config is private).
_base_ = [
    './htc-plus_swin-tiny_8xb2-swin-72e_coco-1400px.py',
    '../_base_/backbones/ummae_swin_dense.py',
]
model = dict(
    # Drop path inferred: as of the standard Swin.
    backbone={**_base_.ummae_swin_cfg, 'drop_path_rate': 0.2, '_delete_': True},
    neck=[_base_.stage_norm_cfg, *_base_.model.neck],
)
