"""BEiT v2's official checkpoints, pre-trained or fine-tuned."""

from collections.abc import Mapping

from mim_bench.conversion.beit_keys import beit_rules, is_beit, is_official_beit
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import CLASSIFIER_RULES, ENDING, block_rule

_LAYERS = 'neck.patch_aggregation'
_CLASS_TOKEN_RULES: Rules = (
    block_rule(r'cls_pt_layers\.(\d+)', _LAYERS + '.{}'),
    (r'cls_pt_layers\.(\d+)\.(attn\.[qv]_bias|gamma_[12])', rf'{_LAYERS}.\1.\2'),
    # Behind the layers, and for the encoder's own output too.
    (rf'norm{ENDING}', r'neck.norm.\1'),
)
_TABLE = KeyTable(
    'beitv2',
    (
        (r'mask_token', 'backbone.mask_token'),
        (rf'lm_head{ENDING}', r'head.cls_head.\1'),
        # Of the class-token layers, where they have their own; mmpretrain's share the other one.
        (rf'cls_pt_lm_head{ENDING}', None),
        *beit_rules(),
        *CLASSIFIER_RULES,
    ),
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """Layers for the class token alone; fine-tuned files are those of several methods."""
    if 'projectors.0.weight' in state or 'lm_head.weight' in state:
        return Fit.MARK if _has_class_token_layers(state) else Fit.NO
    return Fit.LAYOUT if is_official_beit(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``BEiT`` with ``BEiTV2Neck`` and head, or of a classifier."""
    extra = _CLASS_TOKEN_RULES if _has_class_token_layers(state) else ()
    return KeyTable(_TABLE.source, (*extra, *_TABLE.rules)).apply(state, where)


def _has_class_token_layers(state: StateDict) -> bool:
    return is_beit(state) and 'cls_pt_layers.0.attn.qkv.weight' in state


SOURCE = Source(
    name='beitv2',
    detect=detect,
    rename=rename,
    method='beitv2',
    licence='MIT',
    backbone_names={f'neck.norm.{leaf}': f'backbone.ln1.{leaf}' for leaf in ('weight', 'bias')},
)
