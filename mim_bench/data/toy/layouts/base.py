"""Base class of the layouts of the embedded data set, and the scenes that two of them share."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mim_bench.data.toy.files import write_file
from mim_bench.data.toy.scene import Scene, pile_scene
from mim_bench.data.toy.spec import SPLITS, Split

_SCENE_SIDES = (112, 160)  # pixels, for ADE20K and COCO
_SCENE_DIGITS = (2, 5)
_SCENE_HEIGHTS = (28.0, 72.0)  # pixels of upright ink


@dataclass(frozen=True)
class Drawn:
    """Result of drawing one image.

    Attributes:
        digests: SHA-256 of every file written, by path relative to the dataset.
        facts: Plain data that the layout needs when it closes the split.
    """

    digests: dict[str, str]
    facts: dict[str, Any] = field(default_factory=dict)


class Layout(ABC):
    """A layout of images and annotations on disk."""

    name: ClassVar[str]
    _stream: ClassVar[int]  # keeps the random numbers of the layouts apart

    def draw(self, root: Path, seed: int, split: Split, index: int) -> Drawn:
        """Write image number ``index`` of a split; the same bytes in any order."""
        rng = np.random.default_rng([seed, self._stream, SPLITS.index(split), index])
        files, facts = self._render(rng, split, index)
        return Drawn({name: write_file(root / name, data) for name, data in files.items()}, facts)

    @abstractmethod
    def _render(
        self, rng: np.random.Generator, split: Split, index: int
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        """File contents by relative path, and facts for :meth:`close`."""

    @abstractmethod
    def close(self, root: Path, split: Split, facts: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Write the files that span a split, and return their digests."""


def draw_pile(rng: np.random.Generator, split: Split) -> Scene:
    """A scene of two to five digits, for segmentation and detection."""
    low, high = _SCENE_SIDES
    size = (int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1)))
    count = int(rng.integers(_SCENE_DIGITS[0], _SCENE_DIGITS[1] + 1))
    return pile_scene(rng, split, size, count, _SCENE_HEIGHTS)
