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
        backbone_type: The class that loads the result, or None where the file tells.
        licence: Of the official weights, as their repository states it; None if unknown.
        detect: Whether weights look like this format.
        architecture: Sizes read off the weights.
        convert: Weights and the file's name to canonical names.
    """

    name: str
    method: str | None
    backbone_type: str | None
    licence: str | None
    detect: Callable[[StateDict], bool]
    architecture: Callable[[StateDict], dict]
    convert: Callable[[StateDict, str], Converted]
