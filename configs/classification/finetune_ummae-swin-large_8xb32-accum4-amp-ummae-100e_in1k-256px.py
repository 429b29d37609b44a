# UM-MAE's recipe for Swin-L (implus/UM-MAE@cb7776b, FINETUNE.md); 8 GPUs x 32 images x 4
# accumulated = 1024.
_base_ = './finetune_ummae-swin-tiny_8xb64-accum2-amp-ummae-100e_in1k-256px.py'
model = dict(
    backbone=dict(arch='large', drop_path_rate=0.2),
    neck=dict(in_dims=1536),
    head=dict(in_channels=1536),
)
train_dataloader = dict(batch_size=32)
optim_wrapper = dict(accumulative_counts=4, paramwise_cfg=dict(layer_decay_rate=0.7))
protocol = dict(name='in1k-ft-ummae-100e-ummae-swin-large')
