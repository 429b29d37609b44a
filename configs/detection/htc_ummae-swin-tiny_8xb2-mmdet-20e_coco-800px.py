# Inferred: UM-MAE's Swin by this recipe, with UM-MAE's drop path for detection. Its maps get the
# norms that the standard Swin has inside of the backbone.
_base_ = './htc_swin-tiny_8xb2-mmdet-20e_coco-800px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.UMMAESwin',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
    ),
    neck=[
        dict(type='mim_bench.StageNorm', in_channels=[96, 192, 384, 768]),
        _base_.model.neck,
    ],
)
