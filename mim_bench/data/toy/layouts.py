"""The three layouts of the embedded data set, each as its library reads it.

A layout draws one image by its number and, when all are drawn, writes files that span
them: lists and annotations.
"""

import io
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL import Image

from mim_bench.data.imagenet_variants import VARIANTS
from mim_bench.data.toy.digits import NAMES, NUM_DIGITS
from mim_bench.data.toy.folder import write_file
from mim_bench.data.toy.polygons import outline
from mim_bench.data.toy.scene import PHOTOGRAPH, Scene, pile_scene, single_digit_scene
from mim_bench.data.toy.spec import SPLITS, Split

_JPEG_QUALITY = 90
_SCENE_SIDES = (112, 160)  # pixels, for ADE20K and COCO
_SCENE_DIGITS = (2, 5)
_SCENE_HEIGHTS = (28.0, 72.0)  # pixels of upright ink
# Labels of ADE20K's layout by those of a scene; all others are unlabelled.
_ADE_LABEL = np.zeros(256, dtype=np.uint8)
_ADE_LABEL[[PHOTOGRAPH, *range(NUM_DIGITS)]] = range(1, NUM_DIGITS + 2)
# Black, grey, then ten distinct colours.
_PALETTE = bytes.fromhex(
    '000000808080e6194b3cb44bffe1194363d8f58231911eb442d4f4f032e6bfef45fabed4'
).ljust(768, b'\0')


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

    def close(self, root: Path, split: Split, facts: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Write the files that span a split, if there are any, and return their digests."""
        return {}


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
        files = {f'imagenet/{split}/{path}': _encode_jpeg(scene.image)}
        if split == 'val' and label in VARIANTS['imagenet-r'].classes:
            files[f'imagenet-r/{label}/{stem}.JPEG'] = _encode_jpeg(255 - scene.image)
        return files, {'path': path, 'label': label}

    def close(self, root: Path, split: Split, facts: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Write ``meta/{split}.txt``: a path and a label on each line."""
        text = ''.join(f'{fact["path"]} {fact["label"]}\n' for fact in facts)
        name = f'imagenet/meta/{split}.txt'
        return {name: write_file(root / name, text.encode())}


class AdeLayout(Layout):
    """ADEChallengeData2016: 0 unlabelled, 1 photograph, 2..11 the digits 0..9."""

    name = 'ade'
    _stream = 1
    _folder: ClassVar[dict[Split, str]] = {'train': 'training', 'val': 'validation'}

    def _render(
        self, rng: np.random.Generator, split: Split, index: int
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        scene = _draw_pile(rng, split)
        base, folder = 'ade/ADEChallengeData2016', self._folder[split]
        stem = f'ADE_{split}_{index + 1:08d}'
        annotation = _encode_png(_ADE_LABEL[scene.label_map()], _PALETTE)
        files = {
            f'{base}/images/{folder}/{stem}.jpg': _encode_jpeg(scene.image),
            f'{base}/annotations/{folder}/{stem}.png': annotation,
        }
        return files, {}


class CocoLayout(Layout):
    """COCO 2017 with polygons, and stuff maps: 0..9 digits, 10 photograph, 255 unlabelled."""

    name = 'coco'
    _stream = 2
    # Train and val have no image id in common, as in COCO.
    _first_id: ClassVar[dict[Split, int]] = {'train': 1, 'val': 500_001}

    def _render(
        self, rng: np.random.Generator, split: Split, index: int
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        scene = _draw_pile(rng, split)
        image_id = self._first_id[split] + index
        height, width = scene.image.shape[:2]
        stem = f'{image_id:012d}'
        files = {
            f'coco/{split}2017/{stem}.jpg': _encode_jpeg(scene.image),
            f'coco/stuffthingmaps/{split}2017/{stem}.png': _encode_png(scene.label_map()),
        }
        image = {'id': image_id, 'file_name': f'{stem}.jpg', 'width': width, 'height': height}
        return files, {'image': image, 'annotations': _instances(scene, image_id)}

    def close(self, root: Path, split: Split, facts: Sequence[dict[str, Any]]) -> dict[str, str]:
        """Write ``annotations/instances_{split}2017.json``."""
        annotations = [entry for fact in facts for entry in fact['annotations']]
        document = {
            'info': {'description': 'mim_bench embedded dataset: digits on photographs'},
            'licenses': [],
            'images': [fact['image'] for fact in facts],
            'annotations': [{'id': i, **entry} for i, entry in enumerate(annotations, start=1)],
            'categories': [
                {'id': i, 'name': name, 'supercategory': 'digit'}
                for i, name in enumerate(NAMES, start=1)
            ],
        }
        name = f'coco/annotations/instances_{split}2017.json'
        return {name: write_file(root / name, json.dumps(document).encode())}


def _instances(scene: Scene, image_id: int) -> list[dict[str, Any]]:
    """COCO's annotations of a scene, without ids, which the whole split assigns."""
    entries = []
    for digit in scene.digits:
        traced = outline(digit.visible)
        if traced is not None:
            entries.append(
                {
                    'image_id': image_id,
                    'category_id': digit.label + 1,
                    'segmentation': traced.polygons,
                    'bbox': traced.bbox,
                    'area': traced.area,
                    'iscrowd': 0,
                }
            )
    return entries


def _draw_pile(rng: np.random.Generator, split: Split) -> Scene:
    """A scene of two to five digits, for segmentation and detection."""
    low, high = _SCENE_SIDES
    size = (int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1)))
    count = int(rng.integers(_SCENE_DIGITS[0], _SCENE_DIGITS[1] + 1))
    return pile_scene(rng, split, size, count, _SCENE_HEIGHTS)


def _encode_jpeg(image: np.ndarray) -> bytes:
    """Encode an RGB image, uint8 (height, width, 3), as JPEG."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format='JPEG', quality=_JPEG_QUALITY)
    return buffer.getvalue()


def _encode_png(labels: np.ndarray, palette: bytes | None = None) -> bytes:
    """Encode a label map, uint8 (height, width), as PNG of mode P with a palette, else L."""
    buffer = io.BytesIO()
    image = Image.fromarray(labels)
    if palette is not None:
        image.putpalette(palette)
    image.save(buffer, format='PNG', optimize=False)
    return buffer.getvalue()


LAYOUTS: dict[str, Layout] = {
    layout.name: layout for layout in (ImageNetLayout(), AdeLayout(), CocoLayout())
}
