"""ADE20K's layout: images and palette PNG annotations in which 0 means unlabelled."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mim_bench.data.toy.digits import NUM_DIGITS
from mim_bench.data.toy.files import encode_jpeg, encode_png
from mim_bench.data.toy.layouts.base import Layout, draw_pile
from mim_bench.data.toy.scene import PHOTOGRAPH, UNLABELLED
from mim_bench.data.toy.spec import Split


class AdeLayout(Layout):
    """ADEChallengeData2016: 0 unlabelled, 1 photograph, 2..11 the digits 0..9."""

    name = 'ade'
    _stream = 1
    _folder: ClassVar[dict[Split, str]] = {'train': 'training', 'val': 'validation'}

    def _render(
        self, rng: np.random.Generator, split: Split, index: int
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        scene = draw_pile(rng, split)
        base, folder = 'ade/ADEChallengeData2016', self._folder[split]
        stem = f'ADE_{split}_{index + 1:08d}'
        annotation = encode_png(_ADE_LABEL[scene.label_map()], _palette())
        files = {
            f'{base}/images/{folder}/{stem}.jpg': encode_jpeg(scene.image),
            f'{base}/annotations/{folder}/{stem}.png': annotation,
        }
        return files, {}

    def close(self, root: Path, split: Split, facts: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Nothing spans the images of ADE20K."""
        return {}


def _ade_labels() -> np.ndarray:
    table = np.zeros(256, dtype=np.uint8)
    table[PHOTOGRAPH] = 1
    table[:NUM_DIGITS] = np.arange(NUM_DIGITS) + 2
    table[UNLABELLED] = 0
    return table


_ADE_LABEL = _ade_labels()


def _palette() -> bytes:
    """Black, grey, then ten distinct colours."""
    colours = '000000808080e6194b3cb44bffe1194363d8f58231911eb442d4f4f032e6bfef45fabed4'
    return bytes.fromhex(colours).ljust(768, b'\0')
