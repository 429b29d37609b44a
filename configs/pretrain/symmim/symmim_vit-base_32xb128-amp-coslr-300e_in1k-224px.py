# SymMIM (arXiv:2408.12772; no official code, and the paper's body was not read), ViT-B:
# 32 GPUs x 128 images = 4096. Accumulating gradients would keep the batch of the pixels, but not
# the number of images that the contrast tells apart.
# Stated in third-party summaries (SPECIFIED-2ND): the two masks and which network sees which, the
# pixels as target, InfoNCE with momentum keys. All other numbers are inferred; each names its base.
_base_ = [
    '../../_base_/datasets/in1k_mim_224px.py',  # inferred: MAE, CMAE
    '../../_base_/schedules/adamw_coslr_mim.py',  # inferred: MAE, CMAE; MoCo v3's rate is the same
    '../../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
projector_cfg = dict(  # inferred: MoCo v3's ViT recipe (facebookresearch/moco-v3@c349e6e)
    type='NonLinearNeck',
    in_channels=768,
    hid_channels=4096,
    out_channels=256,
    num_layers=3,
    with_last_bn_affine=False,
    with_avg_pool=False,
    norm_cfg=dict(type='SyncBN'),
)
model = dict(
    type='mim_bench.SymMIM',
    data_preprocessor=_base_.data_preprocessor,
    # Inferred: mask tokens as SimMIM and BEiT, positions and class token as MAE, no drop path as
    # MAE, CMAE and MoCo v3.
    backbone=dict(type='mim_bench.MaskTokenViT', arch='base', drop_path_rate=0.0),
    neck=projector_cfg,
    # Inferred: SimMIM (microsoft/SimMIM@d3e29bc). MAE and CMAE: criterion='L2', norm_pix=True.
    head=dict(type='mim_bench.HiddenPixelHead', in_dims=768, criterion='L1', norm_pix=False),
    contrast_head=dict(
        type='mim_bench.MomentumContrastHead',
        predictor={**projector_cfg, 'in_channels': 256, 'num_layers': 2},  # inferred: MoCo v3
        temperature=0.2,  # inferred: MoCo v3; CMAE 0.07, ConMIM 0.1
    ),
    pooling='cls',  # inferred: MoCo v3
    contrast_weight=1.0,  # inferred: CMAE (ZhichengHuang/CMAE@e786a52)
    # inferred: the small mask belongs to the online network, the large to the momentum network
    # (SPECIFIED-2ND); a symmetrised loss would swap them
    symmetrised=False,
    momentum=dict(base_momentum=0.99, end_momentum=1.0),  # inferred: MoCo v3; ConMIM 0.996 to 1
)
train_pipeline = [
    *_base_.load_and_crop,
    dict(
        type='mim_bench.CheckerboardMasks',
        input_size=224,
        patch_size=16,
        small_cell=16,  # with large_cell and swap: SPECIFIED-2ND
        large_cell=32,
        anchor='corner',  # SPECIFIED-2ND as a formula; 'center' (inferred) fits all claims in words
        parity='fixed',  # inferred: the formula has no other
        swap=False,
    ),
    dict(type='PackInputs', algorithm_keys=['mask', 'momentum_mask']),
]
train_dataloader = dict(
    batch_size=128,
    collate_fn=dict(type='mim_bench.collate_masks'),
    dataset=dict(pipeline=train_pipeline),
)
custom_hooks = [*_base_.custom_hooks, dict(type='mim_bench.MomentumHook')]
# Inferred: tokens are decayed, as MAE's.
optim_wrapper = dict(accumulative_counts=1)
param_scheduler = dict(warmup_epochs=40)  # inferred: MAE, CMAE, MoCo v3
train_cfg = dict(max_epochs=300)  # inferred: MoCo v3
protocol = dict(task='pretrain', name='pretrain-symmim-300e', version='1', tier='full')
pretraining = dict(method='symmim', epochs=300)
