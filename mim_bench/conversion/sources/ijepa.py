"""I-JEPA's official checkpoints: the target encoder, or the online one if asked for."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import is_plain_vit, vit_rules


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Target encoder and predictor in one file, of patches alone."""
    is_own = {'target_encoder', 'predictor'} <= set(content) and 'cls_token' not in state
    return Fit.MARK if is_own and is_plain_vit(state) else Fit.NO


SOURCES = (
    Source(
        name='ijepa',
        detect=_detect,
        rename=KeyTable('ijepa', vit_rules()).apply,
        method='ijepa',
        licence='CC-BY-NC-4.0',
    ),
)
