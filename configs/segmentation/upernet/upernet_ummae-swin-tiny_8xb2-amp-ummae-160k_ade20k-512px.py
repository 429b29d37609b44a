# UM-MAE's UPerNet for its Swin-T (implus/UM-MAE@cb7776b, its mmseg config). It starts from weights
# that were fine-tuned on ImageNet-1K after pre-training.
_base_ = [
    '../../_base_/models/upernet.py',
    '../../_base_/datasets/ade20k_512px.py',
    '../../_base_/schedules/adamw_poly_160k.py',
    '../../_base_/default_runtime.py',
]
default_scope = 'mmseg'
model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.1
    ),
    neck=dict(type='mim_bench.StageProjection', in_channels=[96, 192, 384, 768], out_channels=768),
)
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=16000))
protocol = dict(
    task='ade20k-upernet',
    name='ade20k-upernet-ummae-160k-ummae-swin-tiny',
    version='1',
    tier='full',
)
