# CAE's Mask R-CNN 1x (Atten4Vis/CAE@a7fd162): AdamW 3e-4 for 32 images, weight decay 0.05, layer
# decay 0.75, steps at 9 and 11. Inferred: fp16, the warm-up, and which parameters have no weight
# decay (flat ones, position embedding, class token).
_base_ = './adamw_step_12e.py'
base_lr = 3e-4
base_batch_size = effective_batch_size = 32
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(lr=base_lr),
    paramwise_cfg=dict(
        _delete_=True,
        layer_decay_rate=0.75,
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        flat_decay_mult=0.0,
        no_decay_names=('pos_embed', 'cls_token'),
    ),
)
param_scheduler = [
    _base_.param_scheduler[0],
    {**_base_.param_scheduler[1], 'milestones': [9, 11]},
]
