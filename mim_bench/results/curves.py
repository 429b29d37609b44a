"""The curves of a run (loss, k-NN accuracy over epochs): ``curves.json`` beside its record."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from mim_bench.errors import RecordError
from mim_bench.results.atomic import write_atomically
from mim_bench.results.validation import check_schema, parse_json

CURVES_FILE = 'curves.json'


@dataclass(frozen=True)
class Curve:
    """One quantity over the course of a run; ``points`` are [step, value] pairs."""

    series: str
    step_unit: Literal['epoch', 'iter']
    points: list[list[float]]


def write_curves(curves: Sequence[Curve], folder: Path) -> Path:
    """Write ``<folder>/curves.json`` atomically.

    Raises:
        RecordError: A value is not finite or not a number.
        MimBenchError: The disk refuses.
    """
    path = Path(folder) / CURVES_FILE
    data = [asdict(c) | {'points': [list(point) for point in c.points]} for c in curves]
    check_schema(data, 'curves', str(path))
    write_atomically({path: json.dumps(data).encode()})
    return path


def read_curves(path: Path) -> list[Curve]:
    """Read and validate a curves file.

    Raises:
        RecordError: The file is missing, damaged or holds numbers that are not finite.
    """
    try:
        text = Path(path).read_text('utf-8')
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f'{path}: cannot be read ({error}). Run again.') from error
    data = parse_json(text, str(path))
    check_schema(data, 'curves', str(path))
    return [Curve(**curve) for curve in data]
