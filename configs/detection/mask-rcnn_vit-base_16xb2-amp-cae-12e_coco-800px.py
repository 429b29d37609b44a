# CAE's Mask R-CNN 1x for ViT-B, with MAE's kind of ViT: attention over the whole map. What no
# source states is marked in the bases.
_base_ = [
    '../_base_/models/mask_rcnn_cae.py',
    '../_base_/datasets/coco_ms_crop_800px.py',
    '../_base_/schedules/adamw_layer_decay_12e.py',
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
)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-cae-12e', version='1', tier='full')
