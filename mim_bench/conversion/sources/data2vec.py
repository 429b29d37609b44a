"""data2vec's official checkpoints of images: BEiT's networks that regress their own features."""

from collections.abc import Mapping

from mim_bench.conversion.beit_keys import beit_rules, is_beit
from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import CLASSIFIER_RULES, ENDING

_TABLE = KeyTable(
    'data2vec',
    (
        *beit_rules(),
        (r'mask_token', 'backbone.mask_token'),
        *CLASSIFIER_RULES,
        (rf'(?:lm_head|regression_head)(?:\.\d+)?{ENDING}', None),
    ),
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """A head that gives features of the network's own width, where BEiT's gives visual tokens."""
    head = state.get('lm_head.weight')
    regresses = head is not None and head.ndim == 2 and head.shape[0] == head.shape[1]
    regresses |= any(key.startswith('regression_head.') for key in state)
    return Fit.MARK if regresses and is_beit(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``BEiT``."""
    return _TABLE.apply(state, where)


SOURCE = Source(name='data2vec', detect=detect, rename=rename, method='data2vec')
