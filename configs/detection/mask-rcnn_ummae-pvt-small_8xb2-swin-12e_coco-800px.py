# Inferred, as for UM-MAE's Swin.
_base_ = './mask-rcnn_ummae-swin-tiny_8xb2-swin-12e_coco-800px.py'
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
        dict(type='mim_bench.StageNorm', in_channels=[64, 128, 320, 512]),
        dict(type='FPN', in_channels=[64, 128, 320, 512], out_channels=256, num_outs=5),
    ],
)
