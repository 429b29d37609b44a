# BEiT on the embedded digits: 64 patches of 8 px, up to 25 of them hidden in blocks. The tokenizer
# is small and untrained on purpose: its tokens are a hash of the image, enough to see it all run.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 4e-3
data_preprocessor = {**_base_.data_preprocessor, 'type': 'mim_bench.TokenizerDataPreprocessor'}
model = dict(
    type='BEiT',
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type='BEiTPretrainViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
        final_norm=True,
        out_type='raw',
        layer_scale_init_value=0.1,
    ),
    head=dict(type='BEiTV1Head', embed_dims=64, num_embed=64, loss=dict(type='CrossEntropyLoss')),
    target_generator=dict(
        type='mim_bench.DalleTokenizer', n_hid=16, n_blk_per_group=1, vocab_size=64
    ),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='mim_bench.TwoSizeCrop',
        scale=64,
        crop_ratio_range=(0.6, 1.0),
        interpolation='bicubic',
        # A token of the tokenizer stands for 8 px.
        second_scale=64,
    ),
    dict(type='mim_bench.RandomBlockMask', grid=(8, 8), max_hidden=25, min_block=4),
    dict(type='PackInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(optimizer=dict(lr=base_lr * _base_.effective_batch_size / 256))
protocol = dict(name='toy-pretrain-beit')
pretraining = dict(method='beit')
