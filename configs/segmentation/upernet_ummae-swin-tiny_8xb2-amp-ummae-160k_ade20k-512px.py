# UPerNet on Swin-T as in UM-MAE's repository (implus/UM-MAE@cb7776b, its mmseg config). It starts
# from a checkpoint that was fine-tuned on ImageNet-1K after pre-training.
_base_ = '../_base_/segmentation/upernet_512px.py'
model = dict(
    backbone=dict(
        type='mim_bench.UMMAESwin', arch='tiny', out_indices=(0, 1, 2, 3), drop_path_rate=0.1
    ),
    neck=dict(type='mim_bench.StageProjection', in_channels=[96, 192, 384, 768], out_channels=768),
)
protocol = dict(name='ade20k-upernet-ummae-160k')
