"""What a source format must offer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from mim_bench.conversion.key_table import Converted

StateDict = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Source:
    """A checkpoint format.

    Attributes:
        name: What ``--source`` takes.
        method: Pre-training method that the format implies; None where the file tells.
        backbone_type: The class that loads the result; a function of the weights where one
            format has several; None where the file's own config tells.
        licence: Of the official weights, as their repository states it; None if unknown.
        detect: Whether weights look like this format.
        architecture: Sizes read off the weights.
        convert: Weights and the file's name to canonical names.
    """

    name: str
    method: str | None
    backbone_type: str | Callable[[StateDict], str] | None
    licence: str | None
    detect: Callable[[StateDict], bool]
    architecture: Callable[[StateDict], dict]
    convert: Callable[[StateDict, str], Converted]

    def backbone_type_of(self, state: StateDict) -> str | None:
        """The class that loads these weights, or None where the file's own config tells."""
        kind = self.backbone_type
        return kind(state) if callable(kind) else kind
