"""iBOT's official checkpoints: training files with student and teacher, and backbones alone."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.sources.dino import OFFSET
from mim_bench.conversion.vit_keys import is_plain_vit, vit_rules

_TABLE = KeyTable('ibot', (*vit_rules(), (r'masked_embed', 'backbone.mask_token')))


def detect(state: StateDict, content: Mapping) -> Fit:
    """Its loss beside the weights, or the student's embedding of hidden patches."""
    is_own = 'ibot_loss' in content or 'masked_embed' in state
    return Fit.MARK if is_own and is_plain_vit(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``VisionTransformer``."""
    return _TABLE.apply(state, where)


SOURCE = Source(
    name='ibot',
    detect=detect,
    rename=rename,
    method='ibot',
    licence='Apache-2.0',
    pos_resize=OFFSET,
)
