# Benchmarking-ViT (arXiv:2111.11429) as hustvl/MIMDet@fb0aaa1 and mc-BEiT implement it: a pyramid
# with GroupNorm from the ends of four groups of blocks, FPN and heads with SyncBN, two RPN
# convolutions. L1 loss of boxes is inferred: detectron2's default, like everything unsaid here.
# Every image is padded to 1024 x 1024, in the test too.
_base_ = './mask_rcnn_4conv1fc.py'
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=768, norm_cfg=dict(type='GN', num_groups=32)),
        dict(
            type='FPN',
            in_channels=[768] * 4,
            out_channels=256,
            num_outs=5,
            norm_cfg=_base_.norm_cfg,
        ),
    ],
    rpn_head=dict(num_convs=2),
    roi_head=dict(mask_head=dict(norm_cfg=_base_.norm_cfg)),
)
