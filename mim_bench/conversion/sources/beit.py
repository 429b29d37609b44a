"""BEiT, BEiT v2, ConMIM and data2vec: official files, pre-trained or fine-tuned, of one layout."""

from collections.abc import Mapping
from functools import partial

from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    beit_rules,
    block_rule,
    check_positions,
    is_beit,
    is_official_beit,
)

_CLASS_LAYER = 'cls_pt_layers.0.attn.qkv.weight'
# Layers of ConMIM's projector, a Sequential, as mmpretrain's NonLinearNeck names them.
_PROJECTOR = {'0': 'fc0', '1': 'bn0', '3': 'fc1', '4': 'bn1', '6': 'fc2', '7': 'bn2'}
_AGGREGATION = 'neck.patch_aggregation'
_OWN_RULES: dict[str, Rules] = {
    'beit': ((rf'lm_head{ENDING}', r'head.cls_head.\1'),),
    # Where the class-token layers have a norm and a head of their own; mmpretrain's have none.
    'beitv2': ((rf'lm_head{ENDING}', r'head.cls_head.\1'), (r'cls_pt_(?:lm_head|norm)\..+', None)),
    'conmim': (
        (
            rf'projectors\.({"|".join(_PROJECTOR)})\.(.+)',
            lambda layer, leaf: f'neck.{_PROJECTOR[layer]}.{leaf}',
        ),
        (rf'lm_head{ENDING}', None),  # always in the file, never in the loss
    ),
    'data2vec': ((rf'(?:lm_head|regression_head)(?:\.\d+)?{ENDING}', None),),
}
_CLASS_TOKEN_RULES: Rules = (
    block_rule(r'cls_pt_layers\.(\d+)', _AGGREGATION + '.{}'),
    (r'cls_pt_layers\.(\d+)\.(attn\.[qv]_bias|gamma_[12])', rf'{_AGGREGATION}.\1.\2'),
    # Behind the layers, and for the encoder's own output too.
    (rf'norm{ENDING}', r'neck.norm.\1'),
)


def _pretraining(state: StateDict) -> str | None:
    """The source whose pre-training left its mark; None in fine-tuned files.

    BEiT v2 without class-token layers has BEiT's keys; its released files have those layers.
    data2vec's head gives features of the network's own width, BEiT's visual tokens.
    """
    if not is_beit(state):
        return None
    if 'projectors.0.weight' in state:
        return 'conmim'
    if _CLASS_LAYER in state:
        return 'beitv2'
    head = state.get('lm_head.weight')
    regresses = head is not None and head.ndim == 2 and head.shape[0] == head.shape[1]
    if regresses or any(key.startswith('regression_head.') for key in state):
        return 'data2vec'
    return None if head is None else 'beit'


def _detect(name: str, state: StateDict, content: Mapping) -> Fit:
    """Fine-tuned files are those of several methods to the last key."""
    if found := _pretraining(state):
        return Fit.MARK if found == name else Fit.NO
    return Fit.LAYOUT if name != 'data2vec' and is_official_beit(state) else Fit.NO


def _rename(name: str, state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``BEiT`` with its necks and heads, or of a classifier."""
    check_positions(state, where)
    first = _CLASS_TOKEN_RULES if name == 'beitv2' and _CLASS_LAYER in state else ()
    token = (r'mask_token', 'backbone.mask_token')
    rules = (*first, *_OWN_RULES[name], token, *beit_rules(), *CLASSIFIER_RULES)
    return KeyTable(name, rules).apply(state, where)


_LICENCES = {'beit': 'MIT', 'beitv2': 'MIT', 'conmim': 'Apache-2.0'}
_OUTPUT_NORM = {f'neck.norm.{leaf}': f'backbone.ln1.{leaf}' for leaf in ('weight', 'bias')}
SOURCES = tuple(
    Source(
        name=name,
        detect=partial(_detect, name),
        rename=partial(_rename, name),
        method=name,
        licence=_LICENCES.get(name),
        backbone_names=_OUTPUT_NORM if name == 'beitv2' else {},
    )
    for name in _OWN_RULES
)
