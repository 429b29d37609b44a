"""Checkpoints of mmpretrain, of mim_bench, and canonical ones: keys under ``backbone.``."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.openmmlab_keys import (
    has_backbone,
    has_foreign_names,
    openmmlab_table,
    stated_network,
)
from mim_bench.conversion.source import Fit, Source, StateDict


def detect(state: StateDict, content: Mapping) -> Fit:
    """The backbone stands under ``backbone.``, by OpenMMLab's names or those of timm.

    timm's names are those of official files, too, unless the file says that it is ours.
    """
    if not has_backbone(state):
        return Fit.NO
    is_ours = not has_foreign_names(state) or stated_network(content) is not None
    return Fit.LAYOUT if is_ours else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """Keep every key as it is; of a student and its teacher, the teacher under their names."""
    return openmmlab_table('mmpretrain', state).apply(state, where)


SOURCE = Source(name='mmpretrain', detect=detect, rename=rename)
