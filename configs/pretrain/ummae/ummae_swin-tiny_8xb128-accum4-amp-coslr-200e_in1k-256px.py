# UM-MAE, Swin-T (implus/UM-MAE@cb7776b, PRETRAIN.md): 8 GPUs x 128 images x 4 accumulated = 4096.
_base_ = [
    '../../_base_/datasets/in1k_mim_256px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    type='mim_bench.UMMAE',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='mim_bench.UMMAEPretrainSwin', arch='tiny', mask_patch_size=16),
    neck=dict(type='mim_bench.UMMAEPyramidDecoder', in_dims=768, num_patches=256),
    head=dict(type='mim_bench.UMMAEHead', patch_size=16, norm_pix=True),
)
train_dataloader = dict(collate_fn=dict(type='mim_bench.collate_masks'))
protocol = dict(task='pretrain', name='pretrain-ummae-200e', version='1', tier='full')
pretraining = dict(method='ummae', epochs=200)
