"""COCO's layout: polygons in JSON, and stuff maps for heads that need them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from mim_bench.data.toy.digits import NAMES
from mim_bench.data.toy.files import encode_jpeg, encode_png, write_file
from mim_bench.data.toy.layouts.base import Layout, draw_pile
from mim_bench.data.toy.polygons import outline
from mim_bench.data.toy.scene import Scene
from mim_bench.data.toy.spec import Split


class CocoLayout(Layout):
    """COCO 2017 with polygons, and stuff maps: 0..9 digits, 10 photograph, 255 unlabelled."""

    name = 'coco'
    _stream = 2
    # Train and val have no image id in common, as in COCO.
    _first_id: ClassVar[dict[Split, int]] = {'train': 1, 'val': 500_001}

    def _render(
        self, rng: np.random.Generator, split: Split, index: int
    ) -> tuple[dict[str, bytes], dict[str, Any]]:
        scene = draw_pile(rng, split)
        image_id = self._first_id[split] + index
        height, width = scene.image.shape[:2]
        stem = f'{image_id:012d}'
        files = {
            f'coco/{split}2017/{stem}.jpg': encode_jpeg(scene.image),
            f'coco/stuffthingmaps/{split}2017/{stem}.png': encode_png(scene.label_map()),
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
