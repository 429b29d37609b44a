# The same recipe for the standard Swin-T on 256 px, with windows of 16 (the SimMIM baseline's in
# UM-MAE's repository) and of 8 in the last stage, whose map is no larger.
_base_ = './finetune_ummae-swin-tiny_8xb64-accum2-amp-ummae-100e_in1k-256px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch='tiny',
        drop_path_rate=0.1,
        window_size=(16, 16, 16, 8),
    ),
)
protocol = dict(name='in1k-ft-ummae-100e-pyramid')
