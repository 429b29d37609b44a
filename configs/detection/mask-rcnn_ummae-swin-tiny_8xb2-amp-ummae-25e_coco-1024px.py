# Data, schedule and projections of UM-MAE's mmdet config (implus/UM-MAE@cb7776b), with Mask R-CNN
# in place of its GFL head, so that masks are measured too. The head is our choice, not the paper's.
_base_ = [
    '../_base_/models/mask_rcnn.py',
    '../_base_/datasets/coco_instance_1024px.py',
    '../_base_/schedules/adamw_cosine_25e.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    data_preprocessor=dict(
        # In training only.
        batch_augments=[dict(type='BatchFixedSizePad', size=_base_.image_size, pad_mask=True)]
    ),
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.1
    ),
    neck=[
        dict(
            type='mim_bench.StageProjection',
            in_channels=_base_.stage_dims,
            out_channels=768,
            norm=True,
        ),
        dict(type='FPN', in_channels=[768] * 4, out_channels=256, num_outs=5),
    ],
)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-ummae-25e', version='1', tier='full')
