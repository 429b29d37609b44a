# MAE's recipe for ViT-H/14 (facebookresearch/mae@efb2a80, FINETUNE.md): that of ViT-L with drop
# path 0.3; 8 GPUs x 32 images x 4 accumulated = 1024, there 64 x 16.
_base_ = './finetune_vit-large_8xb128-amp-mae-50e_in1k-224px.py'
model = dict(
    backbone=dict(arch='huge', patch_size=14, drop_path_rate=0.3),
    neck=dict(in_dims=1280),
    head=dict(in_channels=1280),
)
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(accumulative_counts=4)
protocol = dict(name='in1k-ft-mae-50e-vit-huge')
