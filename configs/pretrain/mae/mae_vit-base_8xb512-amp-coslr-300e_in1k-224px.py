# MAE, ViT-B (facebookresearch/mae@efb2a80, PRETRAIN.md): 8 GPUs x 512 images = 4096; there 64 x 64
# for 800 epochs. 300 epochs as mmpretrain 1.2.0 has them.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    type='MAE',
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(type='MAEViT', arch='b', img_size=224, patch_size=16, mask_ratio=0.75),
    neck=dict(
        type='MAEPretrainDecoder',
        num_patches=196,
        patch_size=16,
        embed_dim=768,
        decoder_embed_dim=512,
        decoder_depth=8,
        decoder_num_heads=16,
    ),
    head=dict(
        type='MAEPretrainHead',
        norm_pix=True,
        patch_size=16,
        loss=dict(type='PixelReconstructionLoss', criterion='L2'),
    ),
    init_cfg=[
        dict(type='Xavier', layer='Linear', distribution='uniform'),
        dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
    ],
)
# The network draws its masks itself.
train_pipeline = [*_base_.load_and_crop, dict(type='PackInputs')]
train_dataloader = dict(batch_size=512, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(accumulative_counts=1)
param_scheduler = dict(warmup_epochs=40)
train_cfg = dict(max_epochs=300)
protocol = dict(task='pretrain', name='pretrain-mae-300e', version='1', tier='full')
pretraining = dict(method='mae', epochs=300)
