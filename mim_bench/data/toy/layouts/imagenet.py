"""ImageNet's layout: one digit an image, one folder a class; and a made-up ImageNet-R."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mim_bench.data.imagenet_variants import VARIANTS
from mim_bench.data.toy.digits import NUM_DIGITS
from mim_bench.data.toy.files import encode_jpeg, write_file
from mim_bench.data.toy.layouts.base import Layout
from mim_bench.data.toy.scene import single_digit_scene
from mim_bench.data.toy.spec import Split


class ImageNetLayout(Layout):
    """Class folders of JPEG images, and the lists that mmpretrain's ImageNet reads.

    Validation images of the classes that are among ImageNet-R's by their number are in
    ``imagenet-r/``, too, with inverted colours.
    """

    name = 'imagenet'
    _stream = 0
    _short_side = (80, 104)
    _longest_aspect = 1.15

    def _render(
        self, rng: np.random.Generator, split: Split, index: int
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        label = index % NUM_DIGITS
        short = int(rng.integers(self._short_side[0], self._short_side[1] + 1))
        size = (short, round(short * rng.uniform(1, self._longest_aspect)))
        if rng.random() < 0.5:
            size = size[::-1]
        scene = single_digit_scene(rng, split, size, label)
        synset = f'n{label:08d}'
        number = index // NUM_DIGITS + 1
        stem = f'{synset}_{number}' if split == 'train' else f'ILSVRC2012_val_{index + 1:08d}'
        path = f'{synset}/{stem}.JPEG'
        files = {f'imagenet/{split}/{path}': encode_jpeg(scene.image)}
        if split == 'val' and label in VARIANTS['imagenet-r'].classes:
            files[f'imagenet-r/{label}/{stem}.JPEG'] = encode_jpeg(255 - scene.image)
        return files, {'path': path, 'label': label}

    def close(self, root: Path, split: Split, facts: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Write ``meta/{split}.txt``: a path and a label on each line."""
        text = ''.join(f'{fact["path"]} {fact["label"]}\n' for fact in facts)
        name = f'imagenet/meta/{split}.txt'
        return {name: write_file(root / name, text.encode())}
