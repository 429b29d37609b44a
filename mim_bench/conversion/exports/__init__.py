"""Canonical weights in the layouts of other libraries: one module a layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

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


@dataclass(frozen=True)
class Exported:
    """Weights ready to be written.

    Attributes:
        to: Name of the layout.
        state: The weights.
        meta: What is known of them.
        dropped: Canonical keys that the layout has no place for.
    """

    to: str
    state: dict[str, torch.Tensor]
    meta: dict
    dropped: list[str] = field(default_factory=list)

    def content(self, path: Path) -> dict:
        """The dictionary for a file; transformers wants bare weights where it is a pickle."""
        if self.to == 'huggingface' and path.suffix != '.safetensors':
            return self.state
        return {'state_dict': self.state, 'meta': self.meta}


def export(to: str, state: dict[str, torch.Tensor], meta: dict, where: str) -> Exported:
    """Bring canonical weights into another layout.

    Args:
        to: A name of ``EXPORTS``, or 'canonical', which changes nothing.
        state: Canonical weights.
        meta: Their ``meta``.
        where: The file, for messages.

    Raises:
        ConversionError: The layout is unknown, or has no model of this architecture.
    """
    if to == CANONICAL:
        return Exported(to, state, meta)
    if to not in EXPORTS:
        raise ConversionError(f'Unknown layout {to!r}. Known: {[CANONICAL, *EXPORTS]}.')
    converted = EXPORTS[to](state, meta, where)
    return Exported(to, converted.rest, {**meta, 'layout': to}, converted.dropped)
