"""Names in the checkpoints of OpenMMLab's libraries, which are canonical already."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.architecture import MODULE, TIMM, Architecture
from mim_bench.conversion.key_table import KeyTable, Rules

BACKBONE = 'backbone.'
_FOREIGN = tuple(
    f'{BACKBONE}{name}'
    for name in (
        'blocks.',
        'patch_embed.proj.',
        'encoder.',
        'embeddings.',
        'stem.',
        'net.',
        'model.',
    )
)
TEACHER = 'teacher.module.'
# A method whose momentum network is its result, as ConMIM's is, calls it teacher.
_TEACHER_RULES: Rules = (
    (r'teacher\.module\.((?:backbone|neck)\..+)', r'\1'),
    (r'(?:backbone|neck)\..+|teacher\.steps', None),
)
_RULES: Rules = (
    (r'(backbone\..+)', r'\1'),
    # Heads of dense tasks are called decode_head, rpn_head, roi_head and so on.
    (r'((?:\w+_)?(?:neck|head)\..+)', r'\1'),
    (r'((?:decoder|target_generator|data_preprocessor)\..+)', r'\1'),
    (r'((?:teacher|momentum_\w+|target_net\w*)\..+)', r'\1'),
)


def has_backbone(state: Mapping[str, torch.Tensor]) -> bool:
    """Weights stand under ``backbone.``."""
    return any(key.startswith(BACKBONE) for key in state)


def has_foreign_names(state: Mapping[str, torch.Tensor]) -> bool:
    """What stands under ``backbone.`` has the names of timm and of official repositories."""
    return any(key.startswith(_FOREIGN) for key in state)


# Backbones that their weights do not show, by the key under which a run names them.
STATED = {'timm': TIMM, 'module': MODULE}


def stated_network(content: Mapping) -> Architecture | None:
    """The backbone that a canonical file, or a run of mim_bench, names; None: its weights show it.

    Args:
        content: The file's dictionary.
    """
    meta = content.get('meta')
    if not isinstance(meta, Mapping):
        return None
    if meta.get('backbone_type') in STATED.values() and meta.get('layout') is None:
        return Architecture(meta['backbone_type'], dict(meta.get('arch') or {}))
    own = meta.get('mim_bench')
    named = own if isinstance(own, Mapping) else {}
    found = ((kind, named[key]) for key, kind in STATED.items() if named.get(key))
    return next((Architecture(kind, dict(arch)) for kind, arch in found), None)


def openmmlab_table(source: str, state: Mapping[str, torch.Tensor], rules: Rules = ()) -> KeyTable:
    """The rules for a file.

    Args:
        source: Name of the format, for messages.
        state: Its weights: of a student and its teacher, the teacher is the result.
        rules: What comes first.
    """
    has_teacher = any(key.startswith(f'{TEACHER}{BACKBONE}') for key in state)
    return KeyTable(source, (*rules, *(_TEACHER_RULES if has_teacher else ()), *_RULES))
