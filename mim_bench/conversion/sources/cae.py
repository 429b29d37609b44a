"""CAE's official checkpoints: its encoder, without the second one that targets come from."""

from collections.abc import Mapping

from mim_bench.conversion.beit_keys import beit_rules, is_beit
from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict

_PREFIX = 'encoder.'
_TABLE = KeyTable(
    'cae',
    (
        *beit_rules(_PREFIX),
        (r'(?:alignment_encoder|regresser|decoder|encoder_to_regresser)\..+', None),
        (r'mask_token|rd_pos_embed', None),
    ),
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """Two encoders and a regressor."""
    is_own = 'alignment_encoder.patch_embed.proj.weight' in state
    return Fit.MARK if is_own and is_beit(state, _PREFIX) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mim_bench's ``ViT``."""
    return _TABLE.apply(state, where)


SOURCE = Source(
    name='cae',
    detect=detect,
    rename=rename,
    method='cae',
    # The official fine-tuning builds its table of sines and cosines for the size of the images.
    pos_resize={'recompute_sincos': True},
)
