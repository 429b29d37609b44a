# ViTDet for ViT-B. Own variant: no decomposed relative positions, windows at the border hold no
# padding, and the last block's norm is left out. The settings are general knowledge, see the bases.
_base_ = [
    '../_base_/models/cascade_mask_rcnn_vitdet.py',
    '../_base_/datasets/coco_lsj_1024px.py',
    '../_base_/schedules/adamw_step_100e_64b.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        img_size=1024,
        final_norm=False,
        window_size=14,
        global_blocks=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
)
protocol = dict(
    task='coco-cascade-mask-rcnn',
    name='coco-cascade-mask-rcnn-vitdet-100e',
    version='1',
    tier='full',
)
