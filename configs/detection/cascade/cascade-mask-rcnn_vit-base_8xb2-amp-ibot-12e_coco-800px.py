# iBOT's Cascade Mask R-CNN for ViT-B, 12 epochs (bytedance/ibot@da316d8, the command of
# evaluation/README.md: 8 x 2 images, steps 8 and 11, layer decay 0.75; all else is
# evaluation/object_detection/configs/cascade_rcnn/vit_base_giou_4conv1f_coco_3x.py): attention over
# the whole map, learned positions.
_base_ = [
    '../../_base_/models/cascade_mask_rcnn.py',
    '../../_base_/datasets/coco_ms_crop_800px.py',
    '../../_base_/schedules/adamw_step_12e.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        # Positions are kept for 42 x 68 patches and interpolated for each batch (there by a scale
        # that has a tenth of a patch more, against rounding).
        img_size=(672, 1088),
        final_norm=False,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.2,
        with_cp=True,
    ),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=768, norm_cfg=_base_.norm_cfg),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=5),
    ],
)
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    # Only what has one dimension is free of decay: the rule names 'pos_embed' and 'cls_token', but
    # a detector's parameters begin with 'backbone.'.
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
    ),
)
protocol = dict(
    task='coco-cascade-mask-rcnn', name='coco-cascade-mask-rcnn-ibot-12e', version='1', tier='full'
)
