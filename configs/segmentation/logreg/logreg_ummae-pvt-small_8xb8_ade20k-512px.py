# The common protocol for UM-MAE's PVT; --fit-backbone takes any size.
_base_ = '../../_base_/protocols/ade20k_logreg.py'
model = dict(backbone=dict(type='mim_bench.UMMAEPvt', arch='small'))
