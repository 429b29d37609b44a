# UM-MAE's PVT on the embedded digits, with three stages as the Swin beside it.
_base_ = './ummae_swin-toy_1xb64-coslr-16e_toy-in1k-64px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.UMMAEPretrainPvt',
        arch=dict(
            embed_dims=(32, 64, 128), depths=(1, 1, 2), num_heads=(1, 2, 4), mlp_ratios=(4, 4, 4)
        ),
        img_size=64,
        mask_patch_size=8,
        out_indices=(2,),
        sr_ratios=(4, 2, 1),
    ),
)
train_dataloader = dict(batch_size=32)
base_lr = 1e-3
base_batch_size = effective_batch_size = 32
optim_wrapper = dict(optimizer=dict(lr=base_lr))
param_scheduler = dict(warmup_epochs=1)
train_cfg = dict(max_epochs=5)
pretraining = dict(epochs=5)
