"""DINO's official checkpoints: training files with student and teacher, and backbones alone."""

from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import is_plain_vit, vit_rules

# Against rounding, facebookresearch/dino@7c446df, vision_transformer.py.
OFFSET = {'offset': 0.1}


def detect(state: StateDict, content: Mapping) -> Fit:
    """Its loss beside the weights; a backbone alone is any plain ViT's to the last key."""
    return Fit.MARK if 'dino_loss' in content and is_plain_vit(state) else Fit.NO


def rename(state: StateDict, where: str) -> Converted:
    """To the names of mmpretrain's ``VisionTransformer``."""
    return KeyTable('dino', vit_rules()).apply(state, where)


SOURCE = Source(
    name='dino',
    detect=detect,
    rename=rename,
    method='dino',
    licence='Apache-2.0',
    pos_resize=OFFSET,
)
