# UM-MAE's Swin by the same recipe (UM-MAE's own HTC++ config is private). Its maps get the norms
# that the standard Swin has inside of the backbone, as that one before the global attention.
_base_ = './htc-plus_swin-tiny_8xb2-swin-72e_coco-1400px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.UMMAESwin',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        # Inferred: as of the standard Swin.
        drop_path_rate=0.2,
    ),
    neck=[dict(type='mim_bench.StageNorm', in_channels=_base_.stage_dims), *_base_.model.neck],
)
