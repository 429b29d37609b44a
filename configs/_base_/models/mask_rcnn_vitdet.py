# ViTDet (arXiv:2203.16527): a pyramid from the last map only, LayerNorm in the heads, two RPN
# convolutions. General knowledge of detectron2's project, not read again: all of it.
_base_ = './mask_rcnn_4conv1fc.py'
ln_cfg = dict(type='mmpretrain.LN2d')
model = dict(
    data_preprocessor=dict(pad_size_divisor=1024),
    neck=dict(
        _delete_=True, type='mim_bench.SimpleFeaturePyramid', in_channels=768, out_channels=256
    ),
    rpn_head=dict(num_convs=2),
    roi_head=dict(
        bbox_head=dict(norm_cfg=dict(_delete_=True, **ln_cfg)),
        mask_head=dict(norm_cfg=ln_cfg),
    ),
)
