# The probes of the standard Swin-B with windows of 7.
_base_ = ['../_base_/datasets/in1k_probe_224px.py', '../_base_/default_runtime.py']
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mim_bench.Swin', arch='base', window_size=7, out_norms=True),
)
