# The probes of a ViT-B with relative positions.
_base_ = [
    '../_base_/backbones/beit_vit.py',
    '../_base_/datasets/in1k_probe_224px.py',
    '../_base_/default_runtime.py',
]
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=_base_.backbone_cfg,
)
