"""DINO, iBOT and I-JEPA: official files with student and teacher, and backbones alone."""

from collections.abc import Mapping

from mim_bench.conversion.architecture import SWIN
from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.swin_keys import OFFICIAL_ORDER, is_swin, last_norm_rule, swin_rules
from mim_bench.conversion.vit_keys import is_plain_vit, vit_rules

# Against rounding, facebookresearch/dino@7c446df, vision_transformer.py.
OFFSET = {'offset': 0.1}


def _detect_dino(state: StateDict, content: Mapping) -> Fit:
    """Its loss beside the weights; a backbone alone is any plain ViT's to the last key."""
    return Fit.MARK if 'dino_loss' in content and is_plain_vit(state) else Fit.NO


def _detect_ibot(state: StateDict, content: Mapping) -> Fit:
    """Its loss beside the weights, or the student's embedding of hidden patches."""
    is_own = 'ibot_loss' in content or 'masked_embed' in state
    return Fit.MARK if is_own and (is_plain_vit(state) or is_swin(state)) else Fit.NO


def _rename_ibot(state: StateDict, where: str) -> Converted:
    rules = (*swin_rules(), *last_norm_rule(state)) if is_swin(state) else vit_rules()
    rules = (*rules, (r'masked_embed', 'backbone.mask_token'))
    return KeyTable('ibot', rules).apply(state, where)


def _detect_ijepa(state: StateDict, content: Mapping) -> Fit:
    """Target encoder and predictor in one file, of patches alone."""
    is_own = {'target_encoder', 'predictor'} <= set(content) and 'cls_token' not in state
    return Fit.MARK if is_own and is_plain_vit(state) else Fit.NO


SOURCES = (
    Source(
        name='dino',
        detect=_detect_dino,
        rename=KeyTable('dino', vit_rules()).apply,
        method='dino',
        licence='Apache-2.0',
        pos_resize=OFFSET,
    ),
    Source(
        name='ibot',
        detect=_detect_ibot,
        rename=_rename_ibot,
        method='ibot',
        licence='Apache-2.0',
        merge_orders=OFFICIAL_ORDER,
        unseen_settings={SWIN: {'norm_eps': 1e-6}},
        pos_resize=OFFSET,
    ),
    Source(
        name='ijepa',
        detect=_detect_ijepa,
        rename=KeyTable('ijepa', vit_rules()).apply,
        method='ijepa',
        licence='CC-BY-NC-4.0',
    ),
)
