"""CAE's official checkpoints, of either layout: the encoder, not the one that targets are of."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import beit_rules, is_beit

_PREFIX = 'encoder.'
# The second encoder and the regressor: of Atten4Vis/CAE, and of its first repository, lxtGH/CAE.
_TARGETS = ('alignment_encoder.', 'teacher.')
_REGRESSORS = ('regresser.', 'pretext_neck.')
_TABLE = KeyTable(
    'cae',
    (
        *beit_rules(_PREFIX),
        (
            r'(?:alignment_encoder|teacher|regresser|pretext_neck|decoder|encoder_to_\w+)\..+|'
            r'mask_token|rd_pos_embed',
            None,
        ),
    ),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """A regressor beside the encoder."""
    has_regressor = any(key.startswith(_REGRESSORS) for key in state)
    return Fit.MARK if has_regressor and is_beit(state, _PREFIX) else Fit.NO


def _method(state: StateDict) -> str:
    """CAE v2 has no second encoder."""
    return 'cae' if any(key.startswith(_TARGETS) for key in state) else 'cae-v2'


SOURCES = (
    Source(
        name='cae',
        detect=_detect,
        rename=_TABLE.apply,
        method=_method,
        # The official fine-tuning builds its table of sines and cosines for the size of the images.
        pos_resize={'recompute_sincos': True},
    ),
)
