# The same recipe for the standard Swin-T, windows of 16 (8 in the last stage) on 256 px (the window of the
# SimMIM baseline in UM-MAE's repository).
_base_ = './finetune_ummae-swin-tiny_8xb64-accum2-amp-coslr-100e_in1k-256px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='SwinTransformer',
        arch='tiny',
        img_size=256,
        drop_path_rate=0.1,
        norm_cfg=None,
        stage_cfgs=[dict(block_cfgs=dict(window_size=size)) for size in (16, 16, 16, 8)],
    ),
)
