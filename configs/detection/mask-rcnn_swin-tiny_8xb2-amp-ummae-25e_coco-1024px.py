# The same recipe for the standard Swin-T.
_base_ = [
    './mask-rcnn_ummae-swin-tiny_8xb2-amp-ummae-25e_coco-1024px.py',
    '../_base_/backbones/swin_window16.py',
]
model = dict(backbone=dict(_delete_=True, **_base_.swin_cfg, drop_path_rate=0.1))
