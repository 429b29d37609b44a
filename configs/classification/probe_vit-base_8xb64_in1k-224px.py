# The probes of ViT-B. No source states the pooling; it is the average of the patches, normed.
_base_ = ['../_base_/datasets/in1k_probe_224px.py', '../_base_/default_runtime.py']
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mim_bench.ViT', arch='base'),
)
