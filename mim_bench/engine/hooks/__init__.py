"""Hooks of scope ``mim_bench``; importing this package registers them."""

from mim_bench.engine.hooks.cost_ledger_hook import CostLedgerHook
from mim_bench.engine.hooks.finite_loss_hook import FiniteLossHook
from mim_bench.engine.hooks.iteration_seed_hook import IterationSeedHook
from mim_bench.engine.hooks.knn_hook import KnnHook
from mim_bench.engine.hooks.label_range_hook import LabelRangeHook
from mim_bench.engine.hooks.prediction_hook import PredictionHook
from mim_bench.engine.hooks.reconstruction_hook import ReconstructionHook
from mim_bench.engine.hooks.record_hook import RecordHook

__all__ = [
    'CostLedgerHook',
    'FiniteLossHook',
    'IterationSeedHook',
    'KnnHook',
    'LabelRangeHook',
    'PredictionHook',
    'ReconstructionHook',
    'RecordHook',
]
