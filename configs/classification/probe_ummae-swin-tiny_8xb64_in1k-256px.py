# The probes of UM-MAE's Swin-T.
_base_ = ['../_base_/datasets/in1k_probe_256px.py', '../_base_/default_runtime.py']
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mim_bench.UMMAESwin', arch='tiny', final_norm=True),
)
