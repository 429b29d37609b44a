# UM-MAE on the embedded digits: three stages, mask patches of 8 px on 64 px images, so a token of
# the last stage stands for 2x2 visible patches, as in the real thing.
_base_ = '../_base_/recipes/toy_pretraining.py'
base_lr = 8e-3
effective_batch_size = 64
model = dict(
    type='mim_bench.UMMAE',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.UMMAEPretrainSwin',
        arch=dict(embed_dims=32, depths=(1, 1, 2), num_heads=(1, 2, 4), posmlp_dims=16),
        window_size=8,
        mask_patch_size=8,
        out_indices=(2,),
    ),
    neck=dict(
        type='mim_bench.UMMAEPyramidDecoder',
        in_dims=128,
        num_patches=64,
        patch_size=8,
        embed_dims=64,
        depth=1,
        num_heads=4,
    ),
    # Normalised targets would make the noise of flat grounds as important as the strokes.
    head=dict(type='mim_bench.UMMAEHead', patch_size=8, norm_pix=False),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(type='mim_bench.UniformMask', input_size=64, mask_patch_size=8, secondary_ratio=0.25),
    dict(type='PackInputs', algorithm_keys=['mask', 'hidden']),
]
train_dataloader = dict(
    batch_size=64,
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, _base_.knn_hook_cfg]
optim_wrapper = dict(optimizer=dict(lr=base_lr * effective_batch_size / 256))
param_scheduler = dict(warmup_epochs=2)
train_cfg = dict(max_epochs=16)
protocol = dict(name='toy-pretrain-ummae')
pretraining = dict(method='ummae', epochs=16)
