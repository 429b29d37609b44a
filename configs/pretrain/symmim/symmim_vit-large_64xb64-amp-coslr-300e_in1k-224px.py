# SymMIM, ViT-L, the one size that the paper names (SPECIFIED): 64 GPUs x 64 images = 4096.
# Inferred: everything as for ViT-B.
_base_ = './symmim_vit-base_32xb128-amp-coslr-300e_in1k-224px.py'
model = dict(backbone=dict(arch='large'), neck=dict(in_channels=1024), head=dict(in_dims=1024))
train_dataloader = dict(batch_size=64)
