"""MixMIM's (MixMAE's) official checkpoints: Swin's names, but no shifted windows."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.swin_keys import OFFICIAL_ORDER, is_swin, swin_rules
from mim_bench.conversion.vit_keys import ENDING

_TABLE = KeyTable(
    'mixmim',
    (
        *swin_rules(),
        (r'absolute_pos_embed', 'backbone.absolute_pos_embed'),
        (rf'norm{ENDING}', r'backbone.norm.\1'),
        (rf'head{ENDING}', r'head.fc.\1'),
        (r'mask_token|decoder_pos_embed|decoder_\w+\..+', None),
        (r'layers\.\d+\.blocks\.\d+\.attn_mask', None),
    ),
)


def detect(state: StateDict, content: Mapping) -> Fit:
    """Swin's blocks, absolute positions, and a decoder of a pre-training.

    A fine-tuned file is a Swin with absolute positions to the last key, whose windows are shifted.
    """
    is_own = is_swin(state) and 'absolute_pos_embed' in state
    return Fit.MARK if is_own and 'decoder_embed.weight' in state else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mim_bench's ``MixMIMEncoder``."""
    return _TABLE.apply(state, where)


SOURCE = Source(
    name='mixmim',
    detect=detect,
    rename=rename,
    method='mixmim',
    merge_orders=OFFICIAL_ORDER,
)
