"""SymMIM's checkpoints, which come from this project alone: no official ones exist."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted
from mim_bench.conversion.openmmlab_keys import has_backbone, openmmlab_table
from mim_bench.conversion.source import Fit, Source, StateDict


def detect(state: StateDict, content: Mapping) -> Fit:
    """What the run wrote into the file, or the head of the contrast beside a momentum network."""
    meta = content.get('meta')
    own = meta.get('mim_bench') if isinstance(meta, Mapping) else None
    says = isinstance(own, Mapping) and own.get('method') == 'symmim'
    parts = {key.partition('.')[0] for key in state}
    if has_backbone(state) and (says or {'contrast_head', 'momentum_network'} <= parts):
        return Fit.MARK
    return Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """Keep every key: the online network is the result, its momentum network part of the rest."""
    return openmmlab_table('symmim', state).apply(state, where)


SOURCE = Source(name='symmim', detect=detect, rename=rename, method='symmim')
