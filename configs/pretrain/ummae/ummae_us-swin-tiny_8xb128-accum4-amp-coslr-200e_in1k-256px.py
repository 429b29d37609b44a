# UM-MAE, Swin-T, uniform sampling alone: no secondary masking, which is the default of
# implus/UM-MAE@cb7776b (vis_mask_ratio 0). Such weights have no secondary mask token.
_base_ = './ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py'
model = dict(backbone=dict(secondary_masking=False))
train_pipeline = [
    *_base_.load_and_crop,
    dict(type='mim_bench.UniformMask', input_size=256, mask_patch_size=16, secondary_ratio=0.0),
    dict(type='PackInputs', algorithm_keys=['mask']),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
protocol = dict(name='pretrain-ummae-us-200e')
