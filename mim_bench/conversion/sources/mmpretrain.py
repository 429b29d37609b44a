"""Checkpoints of mmpretrain, of mim_bench, and canonical ones: keys under ``backbone.``."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.openmmlab_keys import has_backbone, openmmlab_table
from mim_bench.conversion.source import Fit, Source, StateDict


def detect(state: StateDict, content: Mapping) -> Fit:
    """Every weight of the backbone stands under ``backbone.``."""
    return Fit.LAYOUT if has_backbone(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """Keep every key as it is; of a student and its teacher, the teacher under their names."""
    return openmmlab_table('mmpretrain', state).apply(state, where)


SOURCE = Source(name='mmpretrain', detect=detect, rename=rename)
