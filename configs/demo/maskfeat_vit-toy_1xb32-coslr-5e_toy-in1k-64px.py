# MaskFeat on the embedded digits: 64 patches of 8 px with 2x2 cells, up to 25 hidden in blocks.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 4e-3
model = dict(
    type='MaskFeat',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='MaskFeatViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
    ),
    # 9 bins of 3 colours in the 2x2 cells of a patch
    neck=dict(type='LinearNeck', in_channels=64, out_channels=108, norm_cfg=None),
    head=dict(type='MIMHead', loss=dict(type='PixelReconstructionLoss', criterion='L2')),
    target_generator=dict(
        type='mim_bench.TokenHOGGenerator', patch_size=8, nbins=9, pool=4, gaussian_window=16
    ),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(type='BEiTMaskGenerator', input_size=(8, 8), num_masking_patches=25, min_num_patches=4),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / 256))
protocol = dict(name='toy-pretrain-maskfeat')
pretraining = dict(method='maskfeat')
