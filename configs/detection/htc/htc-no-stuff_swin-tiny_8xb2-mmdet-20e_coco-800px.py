# HTC without its stuff branch (mmdet 3.3, configs/htc/htc-without-semantic_r50_fpn_1x_coco.py) in
# the same 20 epochs. No source has this combination: it is inferred.
_base_ = [
    '../../_base_/models/htc.py',
    '../../_base_/datasets/coco_800px.py',
    '../../_base_/schedules/adamw_step_20e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
model = dict(
    data_preprocessor=dict(pad_seg=False),
    backbone=_base_.swin_cfg,
    roi_head=dict(semantic_roi_extractor=None, semantic_head=None),
)
protocol = dict(
    task='coco-htc-no-stuff', name='coco-htc-no-stuff-mmdet-20e', version='1', tier='full'
)
