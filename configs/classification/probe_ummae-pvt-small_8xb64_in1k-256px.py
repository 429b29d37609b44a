# The probes of UM-MAE's PVT-S.
_base_ = ['../_base_/datasets/in1k_probe_256px.py', '../_base_/default_runtime.py']
default_scope = 'mmpretrain'
model = dict(
    type='ImageClassifier',
    backbone=dict(type='mim_bench.UMMAEPvt', arch='small', final_norm=True),
)
