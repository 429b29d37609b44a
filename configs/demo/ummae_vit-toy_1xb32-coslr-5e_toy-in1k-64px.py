# UM-MAE's ViT on the embedded digits: 8x8 patches of 8 px.
_base_ = './ummae_swin-toy_1xb64-coslr-16e_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.UMMAEPretrainViT',
        arch=dict(embed_dims=64, num_layers=4, num_heads=4, feedforward_channels=256),
        img_size=64,
        patch_size=8,
    ),
    neck=dict(type='mim_bench.UMMAEViTDecoder', in_dims=64),
)
train_dataloader = dict(batch_size=32)
base_lr = 1e-3
base_batch_size = effective_batch_size = 32
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=5)
pretraining = dict(epochs=5)
