# UM-MAE's recipe for its PVT-S (implus/UM-MAE@cb7776b, FINETUNE.md), which is that of Swin-T.
_base_ = './finetune_ummae-swin-tiny_8xb64-accum2-amp-ummae-100e_in1k-256px.py'
model = dict(
    backbone=dict(_delete_=True, type='mim_bench.UMMAEPvt', arch='small', drop_path_rate=0.1),
    neck=dict(in_dims=512),
    head=dict(in_channels=512),
)
protocol = dict(name='in1k-ft-ummae-100e-pyramid')
