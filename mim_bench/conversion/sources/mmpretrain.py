"""Checkpoints of mmpretrain and of mim_bench: keys under ``backbone.`` already."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source

# A method whose momentum network is its result, as ConMIM's is, calls it teacher.
_TEACHER_RULES = (
    (r'teacher\.module\.((?:backbone|neck)\..+)', r'\1'),
    (r'(?:backbone|neck)\..+|teacher\.steps', None),
)


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """Every weight of the backbone stands under ``backbone.``."""
    return any(key.startswith('backbone.') for key in state)


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Number of weights; the sizes stand in the file's own config."""
    return {'num_tensors': sum(key.startswith('backbone.') for key in state)}


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Keep every key as it is; of a student and its teacher, the teacher under their names."""
    has_teacher = any(key.startswith('teacher.module.backbone.') for key in state)
    table = KeyTable(
        'mmpretrain',
        (
            *(_TEACHER_RULES if has_teacher else ()),
            (r'(backbone\..+)', r'\1'),
            (r'((?:neck|head|target_generator|data_preprocessor)\..+)', r'\1'),
            (r'((?:contrast_head|decoder|momentum_network)\..+)', r'\1'),
        ),
    )
    return table.apply(state, where)


SOURCE = Source(
    name='mmpretrain',
    method=None,
    backbone_type=None,
    licence=None,
    detect=detect,
    architecture=architecture,
    convert=convert,
)
