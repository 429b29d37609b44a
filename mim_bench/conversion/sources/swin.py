"""Microsoft's official Swin classifiers, and SimMIM's Swin and ViT, pre-trained or fine-tuned."""

from collections.abc import Mapping
from functools import partial

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.swin_keys import (
    OFFICIAL_ORDER,
    is_swin,
    last_norm_rule,
    merges_at_the_start,
    swin_rules,
)
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    beit_rules,
    check_positions,
    is_beit,
    is_official_beit,
)

_PREFIX = 'encoder.'  # of SimMIM's pre-training


def _detect_swin(state: StateDict, content: Mapping) -> Fit:
    """Layers of blocks that end in a merging; timm's begin with it.

    Nothing in a file says whether its weights were pre-trained: ``--source simmim`` reads the
    same keys and records SimMIM as the method.
    """
    others = {'head.fc.weight', 'absolute_pos_embed'}
    is_own = is_swin(state) and not merges_at_the_start(state) and not others & set(state)
    return Fit.LAYOUT if is_own else Fit.NO


def _detect_simmim(state: StateDict, content: Mapping) -> Fit:
    """A mask token in an encoder is this format's alone; a fine-tuned ViT is BEiT's to the key."""
    if f'{_PREFIX}mask_token' in state and (is_swin(state, _PREFIX) or is_beit(state, _PREFIX)):
        return Fit.MARK
    is_finetuned = is_official_beit(state) and 'fc_norm.weight' in state
    return Fit.LAYOUT if is_finetuned else Fit.NO


def _rename(name: str, state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``SimMIM``, the decoder's too, or of a classifier."""
    check_positions(state, where)
    prefix = _PREFIX if f'{_PREFIX}patch_embed.proj.weight' in state else ''
    rules = beit_rules(prefix)
    if name == 'swin' or is_swin(state, prefix):
        rules = (*swin_rules(prefix), *last_norm_rule(state, prefix))
    own = (
        (r'encoder\.mask_token', 'backbone.mask_token'),
        (rf'decoder\.0{ENDING}', r'neck.decoder.0.\1'),
    )
    return KeyTable(name, (*rules, *own, *CLASSIFIER_RULES)).apply(state, where)


SOURCES = tuple(
    Source(
        name=name,
        detect=detect,
        rename=partial(_rename, name),
        method=method,
        licence='MIT',
        merge_orders=OFFICIAL_ORDER,
    )
    for name, detect, method in (
        ('swin', _detect_swin, None),
        ('simmim', _detect_simmim, 'simmim'),
    )
)
