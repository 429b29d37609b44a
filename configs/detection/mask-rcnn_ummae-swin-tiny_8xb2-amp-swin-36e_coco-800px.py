# Inferred: UM-MAE's Swin by Swin's recipe, with UM-MAE's drop path for detection. Its maps get
# the norms that the standard Swin has inside of the backbone.
_base_ = './mask-rcnn_swin-tiny_8xb2-amp-swin-36e_coco-800px.py'
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
        dict(type='FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
    ],
)
