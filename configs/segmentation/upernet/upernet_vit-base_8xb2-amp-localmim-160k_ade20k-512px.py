# LocalMIM's UPerNet for ViT-B (Haoqing-Wang/LocalMIM@314a6e5, its mmseg config): the taps are the
# blocks that pre-training reconstructed from.
_base_ = './upernet_vit-base_8xb2-amp-mae-160k_ade20k-512px.py'
base_lr = 4e-4
model = dict(
    backbone=dict(out_indices=(1, 3, 9, 11)),
    neck=dict(pooling='avg'),
    test_cfg=dict(stride=(341, 341)),
)
optim_wrapper = dict(optimizer=dict(lr=base_lr))
protocol = dict(name='ade20k-upernet-localmim-160k')
