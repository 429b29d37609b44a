# The same recipe for the standard Swin-T, windows of 16, and 8 in the last stage as in
# pre-training, so that the bias tables load as they are.
_base_ = './mask-rcnn_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mim_bench.Swin',
        arch='tiny',
        window_size=(16, 16, 16, 8),
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.1,
        pad_small_map=True,
    ),
)
