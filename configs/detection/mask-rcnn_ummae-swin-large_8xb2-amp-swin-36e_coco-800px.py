# Inferred: a drop path of 0.3, as for the largest standard Swin here.
_base_ = './mask-rcnn_ummae-swin-tiny_8xb2-amp-swin-36e_coco-800px.py'
model = dict(
    backbone=dict(arch='large', drop_path_rate=0.3),
    neck=[
        dict(type='mim_bench.StageNorm', in_channels=[192, 384, 768, 1536]),
        dict(type='FPN', in_channels=[192, 384, 768, 1536], out_channels=256, num_outs=5),
    ],
)
