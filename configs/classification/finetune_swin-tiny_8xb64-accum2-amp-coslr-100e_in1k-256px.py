# The same recipe for the standard Swin-T on 256 px, with windows of 16 (the SimMIM baseline's in
# UM-MAE's repository) and of 8 in the last stage, whose map is no larger.
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
