"""The curves of a run, read back from what mmengine's visualizer wrote during it."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mim_bench.results.record import Curve

MAX_POINTS = 500
_SCALAR_FILES = '*/vis_data/scalars.json'
# Key in the file, series and unit of the curve.
_SERIES = (('loss', 'loss', 'iter'), ('knn/top1', 'knn_top1', 'epoch'))


def collect_curves(work_dir: Path) -> list[Curve]:
    """Loss by iteration and k-NN accuracy by epoch of the run in a work directory.

    Args:
        work_dir: Where the runner wrote; each start of the run has a folder there. What a
            resumed run measured again replaces what was measured before.

    Returns:
        The curves that have points; longer ones than ``MAX_POINTS`` as means of neighbours.
    """
    files = sorted(Path(work_dir).glob(_SCALAR_FILES))
    curves = []
    for key, series, unit in _SERIES:
        points: dict[float, float] = {}
        for path in files:
            found = dict(_points(path, key))
            first = min(found, default=math.inf)
            points = {step: value for step, value in points.items() if step < first} | found
        if points:
            curves.append(Curve(series, unit, _thin(sorted(points.items()))))
    return curves


def _points(path: Path, key: str) -> Iterator[tuple[float, float]]:
    for entry in read_entries(path):
        step, value = entry.get('step'), entry.get(key)
        # A run that diverges logs NaN just before it is stopped.
        if (
            isinstance(step, int | float)
            and isinstance(value, int | float)
            and math.isfinite(value)
        ):
            yield step, value


def read_entries(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of a file of scalars; lines that are no object are left out."""
    for line in path.read_text('utf-8', errors='replace').splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # a process that was killed leaves half a line
        if isinstance(entry, dict):
            yield entry


def _thin(points: list[tuple[float, float]]) -> list[list[float]]:
    """At most ``MAX_POINTS`` [last step, mean value] of groups of equal size."""
    size = max(1, math.ceil(len(points) / MAX_POINTS))
    groups = (points[i : i + size] for i in range(0, len(points), size))
    return [[group[-1][0], sum(v for _, v in group) / len(group)] for group in groups]
