# The common protocol of a fine-tuned linear decoder on ADE20K at 512 px: one 1x1 convolution and
# 40,000 iterations (tue-mps/benchmark-vfm-ss@02943e6, configs/ade20k_linear_semantic.yaml, whose
# paper, arXiv:2404.12172, compares it with Mask2Former as a benchmark of backbones). Data,
# optimiser, layer decay and drop path as with UPerNet, so that the two differ in decoder and length
# alone. Own choice: a fresh norm on each map; a pyramid gives four, resized to the first.
_base_ = ['./ade20k_upernet.py', '../models/linear_head.py']
max_iters = 40000
model = dict(
    decode_head=dict(_delete_=True, **_base_.linear_head_cfg, num_classes=150),
    auxiliary_head=None,
)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=max_iters)]
train_cfg = dict(max_iters=max_iters, val_interval=10000)
default_hooks = dict(checkpoint=dict(interval=10000))
stage_norm_cfg = dict(_delete_=True, type='mim_bench.StageNorm', in_channels='widths')
protocol = dict(
    task='ade20k-linear-ft',
    name='ade20k-linear-ft-common',
    version='2',
    by_backbone={
        'plain': {
            'model.backbone.out_indices': ['1'],
            'model.decode_head.in_index': [0],
            'model.neck': stage_norm_cfg,
        },
        'pyramid': {'model.decode_head.in_index': [0, 1, 2, 3]},
    },
)
