# MAE on the embedded digits: 64 patches of 8 px, a quarter of them visible. After 5 epochs its
# features were those of random weights.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 12e-3
model = dict(
    type='MAE',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='MAEViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
        mask_ratio=0.75,
    ),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=64,
        patch_size=8,
        embed_dim=64,
        decoder_embed_dim=64,
        decoder_depth=1,
        decoder_num_heads=4,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=False,
        patch_size=8,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
)
train_pipeline = [*_base_.load_and_crop, dict(type='PackInputs')]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / 256))
train_cfg = dict(max_epochs=16)
protocol = dict(name='toy-pretrain-mae')
pretraining = dict(method='mae', epochs=16)
