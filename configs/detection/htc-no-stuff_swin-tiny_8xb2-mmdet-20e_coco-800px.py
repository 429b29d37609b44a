# HTC as mmdet 3.3 trains it, with a Swin in place of the ResNet and its optimiser.
_base_ = [
    '../_base_/models/htc_no_stuff.py',
    '../_base_/datasets/coco_fixed_800px.py',
    '../_base_/schedules/htc_steps_20e.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.Swin',
        arch='tiny',
        out_indices=(0, 1, 2, 3),
        out_norms=True,
        pad_small_map=True,
        # Inferred: what Swin's paper and code use for detection with this size.
        drop_path_rate=0.2,
    ),
    neck=dict(type='FPN', in_channels=[96, 192, 384, 768], out_channels=256, num_outs=5),
)
protocol = dict(
    task='coco-htc-no-stuff', name='coco-htc-no-stuff-mmdet-20e', version='1', tier='full'
)
