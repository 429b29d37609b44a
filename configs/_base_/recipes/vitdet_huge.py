# ViTDet for ViT-H (facebookresearch/detectron2@02b5c4e, projects/ViTDet/configs/COCO/
# *mask_rcnn_vitdet_h_75ep.py): three quarters of the iterations, of the warm-up too since it is a
# share of the run there (187.5), and everything is decayed.
_base_ = './vitdet.py'
max_iters = _base_.max_iters * 3 // 4
warmup_iters = 188
model = dict(
    backbone=dict(arch='huge', global_blocks=(7, 15, 23, 31), drop_path_rate=0.5),
    neck=dict(in_channels=1280),
)
optim_wrapper = dict(
    paramwise_cfg=dict(layer_decay_rate=0.9, norm_decay_mult=1.0, no_decay_names=())
)
param_scheduler = [
    {**_base_.param_scheduler[0], 'end': warmup_iters + 1},
    {
        **_base_.param_scheduler[1],
        'end': max_iters,
        'milestones': [step * 3 // 4 for step in _base_.param_scheduler[1]['milestones']],
    },
]
train_cfg = dict(max_iters=max_iters)
