# The same recipe for UM-MAE's PVT.
_base_ = './mask-rcnn_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.UMMAEPvt',
        arch='small',
        img_size=1024,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
    ),
    neck=[
        {**_base_.model.neck[0], 'in_channels': [64, 128, 320, 512]},
        _base_.model.neck[1],
    ],
)
