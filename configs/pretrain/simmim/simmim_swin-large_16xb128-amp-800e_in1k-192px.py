# SimMIM, Swin-L, windows of 12, in the last stage of 6, its whole map (microsoft/SimMIM@d3e29bc,
# README.md names the model). Inferred: all other settings are those of Swin-B, as in mmpretrain
# 1.2.0.
_base_ = './simmim_swin-base_16xb128-amp-800e_in1k-192px.py'
model = dict(
    backbone=dict(
        arch='large',
        stage_cfgs=[dict(block_cfgs=dict(window_size=size)) for size in (12, 12, 12, 6)],
    ),
    neck=dict(in_channels=1536),
)
