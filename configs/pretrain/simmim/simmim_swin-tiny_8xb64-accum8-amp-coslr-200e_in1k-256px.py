# The SimMIM baseline in implus/UM-MAE@cb7776b: random 16 px patches, 75 % hidden,
# L1 on hidden pixels, UM-MAE's optimiser; 8 GPUs x 64 images x 8 accumulated = 4096.
# Inferred: mmpretrain's SimMIM decodes with a pixel shuffle of 32 where that repository predicts
# four 16 px patches a token, which is the same linear layer in another order.
_base_ = '../ummae/ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py'
model = dict(
    _delete_=True,
    type='SimMIM',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='SimMIMSwinTransformer',
        arch='tiny',
        img_size=256,
        drop_path_rate=0.0,
        stage_cfgs=[dict(block_cfgs=dict(window_size=size)) for size in (16, 16, 16, 8)],
    ),
    neck=dict(type='SimMIMLinearDecoder', in_channels=768, encoder_stride=32),
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
        input_size=256,
        mask_patch_size=16,
        model_patch_size=4,
        mask_ratio=0.75,
    ),
    dict(type='PackInputs'),
]
train_dataloader = dict(
    batch_size=64,
    collate_fn=dict(type='default_collate'),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(accumulative_counts=8)
protocol = dict(name='pretrain-simmim-200e')
pretraining = dict(method='simmim')
