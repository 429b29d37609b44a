# MAE, ViT-H/14 (facebookresearch/mae@efb2a80, PRETRAIN.md): 32 GPUs x 128 images = 4096.
_base_ = './mae_vit-base_8xb512-amp-coslr-1600e_in1k-224px.py'
model = dict(
    backbone=dict(arch='h', patch_size=14),
    neck=dict(embed_dim=1280, patch_size=14, num_patches=256),
    head=dict(patch_size=14),
)
train_dataloader = dict(batch_size=128)
