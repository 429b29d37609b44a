# ViTDet (facebookresearch/detectron2@02b5c4e, projects/ViTDet/configs/COCO/*_vitdet_b_100ep.py and
# configs/common/optim.py): AdamW 1e-4 for 64 images, weight decay 0.1, layer decay 0.7, 250
# iterations of warm-up. Differs: the rate falls at whole epochs, there at iterations 163,889 and
# 177,546 of 184,375 (epochs 88.9 and 96.3).
max_epochs = 100
base_lr = 1e-4
base_batch_size = effective_batch_size = 64
lr_scaling = 'linear'
warmup_iters = 250
optim_wrapper = dict(
    type='AmpOptimWrapper',
    loss_scale='dynamic',
    optimizer=dict(type='AdamW', lr=base_lr, betas=(0.9, 0.999), weight_decay=0.1),
    constructor='mim_bench.LayerDecayOptimWrapperConstructor',
    # Norms of the backbone and positions are not decayed. The norms of pyramid and heads are: there
    # they are a class of detectron2's own, which its list of norms does not have.
    paramwise_cfg=dict(
        layer_decay_rate=0.7,
        norm_decay_mult=0.0,
        no_decay_names=('pos_embed',),
        custom_keys={'neck': dict(decay_mult=1.0), 'roi_head': dict(decay_mult=1.0)},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, by_epoch=False, begin=0, end=warmup_iters),
    dict(
        type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[89, 96], gamma=0.1
    ),
]
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
