# UM-MAE, ViT-B (implus/UM-MAE@cb7776b, PRETRAIN.md): 8 GPUs x 128 images x 4 accumulated = 4096.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    type='mim_bench.UMMAE',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mim_bench.UMMAEPretrainViT', arch='base', img_size=224, patch_size=16),
    neck=dict(type='mim_bench.UMMAEViTDecoder', in_dims=768, num_patches=196),
    head=dict(type='mim_bench.UMMAEHead', patch_size=16, norm_pix=True),
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(type='mim_bench.UniformMask', input_size=224, mask_patch_size=16, secondary_ratio=0.25),
    dict(type='PackInputs', algorithm_keys=['mask', 'hidden']),
]
train_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
protocol = dict(task='pretrain', name='pretrain-ummae-200e', version='1', tier='full')
pretraining = dict(method='ummae', epochs=200)
