"""CAPI's official checkpoints: the encoder, without the decoder of the same names."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import ENDING

_PREFIX = r'(?:backbone\.)?'
_BLOCK = rf'{_PREFIX}encoder\.blocks\.(\d+)'
_TABLE = KeyTable(
    'capi',
    (
        (rf'{_PREFIX}registers', 'backbone.registers'),
        (rf'{_PREFIX}patch_embed{ENDING}', r'backbone.patch_embed.\1'),
        (rf'{_BLOCK}\.residual([12])\.norm\.weight', r'backbone.blocks.\1.norm\2.weight'),
        (rf'{_BLOCK}\.residual1\.fn\.((?:[qkv]_)?proj\.weight)', r'backbone.blocks.\1.attn.\2'),
        (rf'{_BLOCK}\.residual1\.fn\.rope\.freqs', r'backbone.blocks.\1.attn.freqs'),
        (rf'{_BLOCK}\.residual2\.fn\.(fc[12]\.weight)', r'backbone.blocks.\1.\2'),
        (rf'{_PREFIX}(?:mask_token|decoder\..+)|head\..+', None),
    ),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Registers and blocks of two residual branches with stored frequencies."""
    names = ('registers', 'encoder.blocks.0.residual1.fn.rope.freqs')
    is_own = any(all(p + name in state for name in names) for p in ('', 'backbone.'))
    return Fit.MARK if is_own else Fit.NO


SOURCES = (Source(name='capi', detect=_detect, rename=_TABLE.apply, method='capi'),)
