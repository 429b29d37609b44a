# The same for BEiT-L (microsoft/unilm@768a3c8, beit/semantic_segmentation/configs/beit/upernet/
# upernet_beit_large_24_640_slide_160k_ade20k_pt2ft.py): 8 GPUs x 1 image, two batches an update.
# Its 320,000 batches and 3,000 of warm-up are 160,000 and 1,500 updates.
_base_ = './upernet_beit-vit-base_8xb2-amp-beitft-160k_ade20k-640px.py'
base_lr = 2e-5
model = dict(
    backbone=dict(arch='large', out_indices=(7, 11, 15, 23), layer_scale=1e-6, drop_path_rate=0.2),
    neck=dict(embed_dims=1024),
    decode_head=dict(in_channels=[1024] * 4, channels=1024),
    auxiliary_head=dict(in_channels=1024),
)
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(
    accumulative_counts=2,
    optimizer=dict(lr=base_lr),
    paramwise_cfg=dict(layer_decay_rate=0.95),
)
protocol = dict(name='ade20k-upernet-beitft-160k-640px-large')
