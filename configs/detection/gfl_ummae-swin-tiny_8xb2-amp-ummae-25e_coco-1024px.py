# UM-MAE's released detection recipe (implus/UM-MAE@cb7776b): GFL, boxes only.
_base_ = [
    '../_base_/models/gfl.py',
    '../_base_/datasets/coco_boxes_1024px.py',
    '../_base_/schedules/adamw_cosine_25e.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    data_preprocessor=dict(
        # In training only.
        batch_augments=[dict(type='BatchFixedSizePad', size=_base_.image_size)]
    ),
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.1
    ),
)
protocol = dict(task='coco-gfl', name='coco-gfl-ummae-25e', version='1', tier='full')
