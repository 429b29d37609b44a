"""Draws the embedded data set, image by image, in one process or several."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mim_bench.data.processes import mapped
from mim_bench.data.toy.digits import NAMES
from mim_bench.data.toy.folder import (
    MANIFEST,
    claim,
    combined_digest,
    read_finished,
    write_file,
)
from mim_bench.data.toy.layouts import LAYOUTS, Drawn
from mim_bench.data.toy.photos import PHOTOGRAPHS
from mim_bench.data.toy.spec import SPLITS, Split, ToySize, ToySpec

Progress = Callable[[int, int], None]


class _Task(NamedTuple):
    layout: str
    split: Split
    index: int


def make_toy(
    root: Path | str,
    *,
    seed: int = 0,
    size: ToySize | None = None,
    progress: Progress | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Write the embedded dataset as ``imagenet/``, ``ade/`` and ``coco/`` under a folder.

    Args:
        root: Folder to write; absent, empty, left by an interrupted call, or
            finished with the same seed and size, which is left unchanged.
        seed: Same seed and size, same bytes, whatever ``workers`` is.
        size: Images of each layout; ``ToySize()`` by default.
        progress: Called with (images done, images in all) as they are written.
        workers: Processes that draw.

    Returns:
        The manifest, as in ``toy.json``.

    Raises:
        DataError: The folder holds something else, or the disk is full.
    """
    root = Path(root)
    spec = ToySpec(seed=seed, size=size or ToySize())
    finished = read_finished(root, spec)
    if finished is not None:
        return finished
    with claim(root, spec):
        digests = _write_layouts(root, spec, progress or (lambda done, total: None), workers)
        manifest = {**spec.to_dict(), **_description(digests)}
        write_file(root / MANIFEST, (json.dumps(manifest, indent=2) + '\n').encode())
    return manifest


def _write_layouts(
    root: Path, spec: ToySpec, progress: Progress, workers: int
) -> dict[str, dict[str, str]]:
    """Draw every image and close every split; digests by layout and relative path."""
    tasks = [
        _Task(name, split, index)
        for name in LAYOUTS
        for split in SPLITS
        for index in range(getattr(getattr(spec.size, name), split))
    ]
    drawn: dict[tuple[str, Split], list[Drawn]] = {}
    results = mapped(partial(_draw, root, spec.seed), tasks, workers)
    for done, (task, result) in enumerate(zip(tasks, results, strict=True), start=1):
        drawn.setdefault((task.layout, task.split), []).append(result)
        progress(done, len(tasks))
    digests: dict[str, dict[str, str]] = {name: {} for name in LAYOUTS}
    for name, layout in LAYOUTS.items():
        for split in SPLITS:
            results = drawn.get((name, split), [])
            for result in results:
                digests[name].update(result.digests)
            digests[name].update(layout.close(root, split, [result.facts for result in results]))
    return digests


def _draw(root: Path, seed: int, task: _Task) -> Drawn:
    return LAYOUTS[task.layout].draw(root, seed, task.split, task.index)


def _description(digests: dict[str, dict[str, str]]) -> dict[str, Any]:
    return {
        'classes': list(NAMES),
        'sha256': {name: combined_digest(files) for name, files in digests.items()},
        'files': {name: len(files) for name, files in digests.items()},
        'digits': "scikit-learn's load_digits",
        'photographs': [
            {'package': photo.package, 'file': photo.file, 'terms': photo.terms}
            for photo in PHOTOGRAPHS
        ],
    }
