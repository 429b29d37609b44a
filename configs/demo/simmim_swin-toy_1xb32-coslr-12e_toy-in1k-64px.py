# SimMIM on the embedded digits, with the same images and mask patches. It hides SimMIM's own 60 %
# (microsoft/SimMIM) and takes smaller batches at a higher rate: at UM-MAE's settings its features
# were hardly better than random ones.
_base_ = '../_base_/recipes/toy_pretraining.py'
model = dict(
    type='SimMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='SimMIMSwinTransformer',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4)),
        img_size=64,
        out_indices=(2,),
        drop_path_rate=0.0,
        stage_cfgs=dict(block_cfgs=dict(window_size=4)),
    ),
    neck=dict(type='SimMIMLinearDecoder', in_channels=128, encoder_stride=16),
    head=dict(
        type='SimMIMHead',
        patch_size=4,
        loss=dict(type='PixelReconstructionLoss', criterion='L1', channel=3),
    ),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(
        type='SimMIMMaskGenerator',
        input_size=64,
        mask_patch_size=8,
        model_patch_size=4,
        mask_ratio=0.6,
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
custom_hooks = [*_base_.custom_hooks, _base_.knn_hook_cfg]
base_lr = 8e-3
base_batch_size = 32
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = dict(warmup_epochs=2)
train_cfg = dict(max_epochs=12)
protocol = dict(name='toy-pretrain-simmim')
pretraining = dict(method='simmim', epochs=12)
