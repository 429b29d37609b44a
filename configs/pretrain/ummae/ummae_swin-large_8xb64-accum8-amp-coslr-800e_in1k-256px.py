# UM-MAE, Swin-L (implus/UM-MAE@cb7776b, PRETRAIN.md): 8 GPUs x 64 images x 8 accumulated = 4096.
_base_ = './ummae_swin-tiny_8xb128-accum4-amp-coslr-200e_in1k-256px.py'
# mae_swin_large_256 of that repository is the builder with eight decoder blocks.
model = dict(backbone=dict(arch='large'), neck=dict(in_dims=1536, depth=8))
train_dataloader = dict(batch_size=64)
optim_wrapper = dict(accumulative_counts=8)
param_scheduler = dict(warmup_epochs=40)
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-ummae-800e')
pretraining = dict(epochs=800)
