# LocalMIM, ViT-L, HOG (Haoqing-Wang/LocalMIM@314a6e5, README): 8 GPUs x 128 images x 4
# accumulated = 4096.
_base_ = './localmim_vit-base_8xb256-amp-coslr-1600e_in1k-224px.py'
base_lr = 1.5e-4
effective_batch_size = 4096
model = dict(
    backbone=dict(arch='large'),
    neck=dict(in_dims=1024, out_dims=54),
    head=dict(num_bins=18, hog_bias=True),
)
train_dataloader = dict(batch_size=128)
optim_wrapper = dict(accumulative_counts=4, optimizer=dict(lr=base_lr * effective_batch_size / 256))
train_cfg = dict(max_epochs=800)
protocol = dict(name='pretrain-localmim-800e')
pretraining = dict(epochs=800)
