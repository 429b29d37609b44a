"""Canonical weights in the layouts of other libraries: one module a layout."""

from collections.abc import Callable, Mapping

import torch

from mim_bench.conversion.exports import huggingface, timm
from mim_bench.conversion.key_table import Converted
from mim_bench.errors import ConversionError

CANONICAL = 'canonical'
# Canonical weights, their meta and the file's name to the other library's names.
EXPORTS: dict[str, Callable[[Mapping[str, torch.Tensor], Mapping, str], Converted]] = {
    'timm': timm.rename,
    'huggingface': huggingface.rename,
}


def export(
    to: str, state: dict[str, torch.Tensor], meta: dict, where: str
) -> tuple[dict[str, torch.Tensor], list[str]]:
    """Bring canonical weights into another layout.

    Args:
        to: A name of ``EXPORTS``, or 'canonical', which changes nothing.
        state: Canonical weights.
        meta: Their ``meta``.
        where: The file, for messages.

    Returns:
        The weights, and the canonical keys that the layout has no place for.

    Raises:
        ConversionError: The layout is unknown, or has no model of this architecture.
    """
    if to == CANONICAL:
        return state, []
    if to not in EXPORTS:
        raise ConversionError(f'Unknown layout {to!r}. Known: {[CANONICAL, *EXPORTS]}.')
    converted = EXPORTS[to](state, meta, where)
    return converted.rest, converted.dropped
