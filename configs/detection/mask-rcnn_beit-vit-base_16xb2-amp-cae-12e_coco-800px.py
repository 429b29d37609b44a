# With BEiT's kind of ViT, as CAE's own is; its tables are fitted to the map of every batch.
_base_ = [
    './mask-rcnn_vit-base_16xb2-amp-cae-12e_coco-800px.py',
    '../_base_/backbones/beit_vit.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        **_base_.backbone_cfg,
        final_norm=False,
        out_indices=(3, 5, 7, 11),
        drop_path_rate=0.2,
        with_cp=True,
    ),
)
