"""BEiT's official checkpoints, pre-trained or fine-tuned."""

from collections.abc import Mapping

from mim_bench.conversion.beit_keys import beit_rules, is_beit, is_official_beit
from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import CLASSIFIER_RULES, ENDING

_TABLE = KeyTable(
    'beit',
    (
        *beit_rules(),
        (r'mask_token', 'backbone.mask_token'),
        (rf'lm_head{ENDING}', r'head.cls_head.\1'),
        *CLASSIFIER_RULES,
    ),
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """The classifier of visual tokens, without what ConMIM and BEiT v2 add to it.

    Pre-training of BEiT v2 without its class-token layers has the same keys; its released
    files have those layers. Fine-tuned files are those of several methods to the last key.
    """
    others = {'projectors.0.weight', 'cls_pt_layers.0.attn.qkv.weight'}
    head = state.get('lm_head.weight')
    is_regression = (
        head is not None and head.ndim == 2 and head.shape[0] == head.shape[1]
    )  # data2vec's
    if others & set(state) or is_regression:
        return Fit.NO
    if is_beit(state) and 'lm_head.weight' in state:
        return Fit.MARK
    return Fit.LAYOUT if is_official_beit(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``BEiT`` with its ``BEiTV1Head``, or of a classifier."""
    return _TABLE.apply(state, where)


SOURCE = Source(name='beit', detect=detect, rename=rename, method='beit', licence='MIT')
