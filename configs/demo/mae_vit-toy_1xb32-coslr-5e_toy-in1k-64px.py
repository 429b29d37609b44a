# MAE on the embedded digits: 64 patches of 8 px, a quarter of them visible.
_base_ = './ummae_swin-toy_1xb64-coslr-16e_toy-in1k-64px.py'
base_lr = 4e-3
effective_batch_size = 32
model = dict(
    _delete_=True,
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
train_dataloader = dict(
    batch_size=32,
    collate_fn=dict(type='default_collate'),
    dataset=dict(pipeline=train_pipeline),
)
# The probes of the demo measure the same, and once.
custom_hooks = [hook for hook in _base_.custom_hooks if hook['type'] != 'mim_bench.KnnHook']
optim_wrapper = dict(optimizer=dict(lr=base_lr * effective_batch_size / 256))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=5)
protocol = dict(name='toy-pretrain-mae')
pretraining = dict(method='mae', epochs=5)
