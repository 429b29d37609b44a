# The same probes for the standard Swin-T, windows of 16 (8 in the last stage) on 256 px.
_base_ = './probe_ummae-swin-tiny_8xb64_in1k-256px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        arch='tiny',
        img_size=256,
        stage_cfgs=[dict(block_cfgs=dict(window_size=size)) for size in (16, 16, 16, 8)],
    ),
)
