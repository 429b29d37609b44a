# Data, schedule and projections of UM-MAE's mmdet config, with Mask R-CNN in place of its
# GFL head, so that masks are measured too. The head is our choice, not the paper's.
_base_ = [
    '../_base_/models/mask_rcnn.py',
    '../_base_/datasets/coco_instance_1024px.py',
    '../_base_/schedules/adamw_cosine_25e.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.1
    ),
)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-25e', version='1', tier='full')
