# BEiT, ViT-B (mmpretrain 1.2.0, configs/beit/beit_beit-base-p16_8xb256-amp-coslr-300e_in1k.py):
# 8 GPUs x 256 images = 2048. The targets need DALL-E's tokenizer, which is not downloaded; give
# mmpretrain's dalle_encoder.pth with
#   --cfg-options model.target_generator.init_cfg.checkpoint=dalle_encoder.pth
# Rate, warm-up, decay and clipping as microsoft/unilm@768a3c8, beit/README.md and optim_factory.py.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',
    '../../_base_/schedules/adamw_coslr_mim.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
base_lr = 1.5e-3
base_batch_size = 2048
effective_batch_size = 2048
data_preprocessor = dict(type='mim_bench.TokenizerDataPreprocessor')
model = dict(
    type='BEiT',
    backbone=dict(
        type='BEiTPretrainViT',
        arch='base',
        img_size=224,
        patch_size=16,
        drop_path_rate=0.1,
        final_norm=True,
        out_type='raw',
        layer_scale_init_value=0.1,
        init_cfg=[
            dict(type='TruncNormal', std=0.02, layer='Linear'),
            dict(type='TruncNormal', std=0.02, layer='Conv2d'),
            dict(type='Constant', layer='LayerNorm', val=1.0, bias=0.0),
        ],
    ),
    head=dict(
        type='BEiTV1Head', embed_dims=768, num_embed=8192, loss=dict(type='CrossEntropyLoss')
    ),
    target_generator=dict(
        type='mim_bench.DalleTokenizer', init_cfg=dict(type='Pretrained', checkpoint=None)
    ),
)
# microsoft/unilm@768a3c8, beit/datasets.py: PIL images; at most 75 of 196 patches hidden.
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='torchvision/ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4),
    dict(type='PILToNumpy', to_bgr=True),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='mim_bench.TwoSizeCrop',
        scale=224,
        interpolation='bicubic',
        second_scale=112,
        second_interpolation='lanczos',
    ),
    dict(type='mim_bench.RandomBlockMask', grid=(14, 14), max_hidden=75, min_block=16),
    dict(type='PackInputs'),
]
train_dataloader = dict(batch_size=256, dataset=dict(pipeline=train_pipeline))
optim_wrapper = dict(
    accumulative_counts=1,
    optimizer=dict(lr=base_lr * effective_batch_size / base_batch_size, betas=(0.9, 0.999)),
    clip_grad=dict(max_norm=3.0),
    # Of what is not one-dimensional, only the class token is not decayed; the mask token is.
    paramwise_cfg=dict(custom_keys=dict(cls_token=dict(decay_mult=0.0))),
)
param_scheduler = dict(type='mim_bench.TableCosineLR', min_lr=1e-5)
train_cfg = dict(max_epochs=300)
protocol = dict(task='pretrain', name='pretrain-beit-300e', version='1', tier='full')
pretraining = dict(method='beit', epochs=300)
