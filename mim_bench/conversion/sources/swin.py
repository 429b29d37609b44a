"""Microsoft's official Swin classifiers, and what SimMIM fine-tuned from its own files."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.swin_keys import (
    OFFICIAL_ORDER,
    is_swin,
    last_norm_rule,
    merges_at_the_start,
    swin_rules,
)
from mim_bench.conversion.vit_keys import ENDING


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Layers of blocks that end in a merging; timm's begin with it.

    Nothing in a file says whether its weights were pre-trained: ``--source simmim`` reads the
    same keys and records SimMIM as the method.
    """
    others = {'head.fc.weight', 'absolute_pos_embed'}
    is_own = is_swin(state) and not merges_at_the_start(state) and not others & set(state)
    return Fit.LAYOUT if is_own else Fit.NO


def _rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``SwinTransformer`` and its linear head."""
    head = (rf'head{ENDING}', r'head.fc.\1')
    table = KeyTable('swin', (*swin_rules(), *last_norm_rule(state), head))
    return table.apply(state, where)


SOURCES = (
    Source(name='swin', detect=_detect, rename=_rename, licence='MIT', merge_orders=OFFICIAL_ORDER),
)
