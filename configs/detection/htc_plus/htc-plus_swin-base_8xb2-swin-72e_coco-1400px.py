# Swin's HTC++ 6x for Swin-B (arXiv:2103.14030, A2.2; microsoft/Swin-Transformer@f82860b prints
# 56.4 / 49.1 from ImageNet-22K for 6x). No config was released: what the paper does not state is
# czczup/ViT-Adapter@fd64a51's. Inferred: drop path 0.3, as of its Swin-L, and windows of 7.
_base_ = [
    '../../_base_/models/htc_plus.py',
    '../../_base_/datasets/coco_stuff_1400px.py',
    '../../_base_/schedules/adamw_step_72e.py',
    '../../_base_/backbones/swin_dense.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmdet'
stage_dims = [128, 256, 512, 1024]
model = dict(
    backbone={**_base_.swin_cfg, 'arch': 'base', 'drop_path_rate': 0.3},
    neck=[
        {**_base_.model.neck[0], 'in_channels': stage_dims[-1]},
        {**_base_.model.neck[1], 'in_channels': stage_dims},
    ],
)
protocol = dict(task='coco-htc-plus', name='coco-htc-plus-swin-72e', version='1', tier='full')
