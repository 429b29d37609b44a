# The fine-tuned linear decoder on the embedded scenes.
_base_ = ['./toy_upernet.py', '../models/linear_head.py']
model = dict(
    decode_head={
        '_delete_': True,
        **_base_.linear_head_cfg,
        'num_classes': _base_.num_classes,
        'loss_decode': dict(**_base_.linear_head_cfg.loss_decode, class_weight=_base_.class_weight),
    },
    auxiliary_head=None,
)
stage_norm_cfg = dict(type='mim_bench.StageNorm', in_channels='widths')
protocol = dict(
    task='ade20k-linear-ft',
    name='toy-linear-ft',
    by_backbone={
        '_delete_': True,
        'plain': {
            'model.backbone.out_indices': ['1'],
            'model.decode_head.in_index': [0],
            'model.neck': stage_norm_cfg,
        },
        'pyramid': {
            'model.backbone.out_indices': _base_.toy_taps_cfg.pyramid,
            'model.decode_head.in_index': [0, 1, 2],
            'model.neck': stage_norm_cfg,
        },
        **_base_.toy_families_cfg,
    },
)
