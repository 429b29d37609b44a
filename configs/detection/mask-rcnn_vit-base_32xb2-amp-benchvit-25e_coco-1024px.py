# Benchmarking-ViT for MAE's kind of ViT: windows of 16 with a global block at the end of each of
# four groups, fixed positions.
_base_ = [
    '../_base_/models/mask_rcnn_benchvit.py',
    '../_base_/datasets/coco_lsj_1024px.py',
    '../_base_/schedules/adamw_cosine_25e_64b.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    backbone=dict(
        type='mim_bench.ViT',
        arch='base',
        img_size=1024,
        abs_pos='fixed',
        final_norm=False,
        window_size=16,
        global_blocks=(2, 5, 8, 11),
        out_indices=(2, 5, 8, 11),
        drop_path_rate=0.1,
    ),
)
protocol = dict(task='coco-mask-rcnn', name='coco-mask-rcnn-benchvit-25e', version='1', tier='full')
