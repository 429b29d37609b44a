"""MixMIM's (MixMAE's) official checkpoints: Swin's names, but no shifted windows."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import KeyTable
from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.conversion.resizing.sincos import sincos_order
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
    ),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Swin's blocks with absolute positions, and a pre-training's decoder or a fixed table.

    A fine-tuned file has the keys of a Swin with absolute positions, which are trained there.
    """
    if not is_swin(state) or 'absolute_pos_embed' not in state:
        return Fit.NO
    return Fit.MARK if 'decoder_embed.weight' in state or _is_fixed(state) else Fit.NO


def _is_fixed(state: StateDict) -> bool:
    table = state['absolute_pos_embed']
    side = square_side(table.shape[1])
    if side is None or any(key.endswith('.attn_mask') for key in state):  # of shifted windows
        return False
    return sincos_order(table[0], (side, side)) is not None


SOURCES = (
    Source(
        name='mixmim',
        detect=_detect,
        rename=_TABLE.apply,
        method='mixmim',
        merge_orders=OFFICIAL_ORDER,
    ),
)
