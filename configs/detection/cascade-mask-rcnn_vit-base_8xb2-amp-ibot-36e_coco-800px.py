# iBOT's Cascade Mask R-CNN 3x for ViT-B (arXiv:2111.07832). Taps and pyramid are inferred: those of
# the Mask R-CNN of CAE, which was derived from it.
_base_ = [
    '../_base_/models/cascade_mask_rcnn.py',
    '../_base_/datasets/coco_ms_crop_800px.py',
    '../_base_/schedules/adamw_layer_decay_36e.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        final_norm=False,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.2,
        # Maps of 4,000 tokens and more.
        with_cp=True,
    ),
    neck=[
        dict(type='mim_bench.ViTPyramid', embed_dims=768, norm_cfg=_base_.norm_cfg),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=5),
    ],
)
protocol = dict(
    task='coco-cascade-mask-rcnn', name='coco-cascade-mask-rcnn-ibot-36e', version='1', tier='full'
)
