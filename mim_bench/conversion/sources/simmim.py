"""SimMIM's official checkpoints: Swin and ViT, pre-trained or fine-tuned."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.swin_keys import OFFICIAL_ORDER, is_swin, last_norm_rule, swin_rules
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    beit_rules,
    is_beit,
    is_official_beit,
)

PREFIX = 'encoder.'


def _detect(state: StateDict, content: Mapping) -> Fit:
    """A mask token in an encoder is this format's alone.

    A fine-tuned ViT is BEiT's to the last key, a fine-tuned Swin is Microsoft's: that one is
    left to ``swin``.
    """
    if f'{PREFIX}mask_token' in state and (is_swin(state, PREFIX) or is_beit(state, PREFIX)):
        return Fit.MARK
    is_finetuned = is_official_beit(state) and 'fc_norm.weight' in state
    return Fit.LAYOUT if is_finetuned else Fit.NO


def _rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``SimMIM``, the decoder's too, or of a classifier."""
    prefix = PREFIX if f'{PREFIX}patch_embed.proj.weight' in state else ''
    if is_swin(state, prefix):
        rules = (*swin_rules(prefix), *last_norm_rule(state, prefix))
    else:
        rules = beit_rules(prefix)
    table = KeyTable(
        'simmim',
        (
            *rules,
            (r'encoder\.mask_token', 'backbone.mask_token'),
            (rf'decoder\.0{ENDING}', r'neck.decoder.0.\1'),
            *CLASSIFIER_RULES,
        ),
    )
    return table.apply(state, where)


SOURCES = (
    Source(
        name='simmim',
        detect=_detect,
        rename=_rename,
        method='simmim',
        licence='MIT',
        merge_orders=OFFICIAL_ORDER,
    ),
)
