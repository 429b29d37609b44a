"""The curves of a run (loss, k-NN accuracy over epochs): ``curves.json`` beside its record."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, with_config

from mim_bench.results.atomic import write_atomically
from mim_bench.results.record import Name
from mim_bench.results.validation import STRICT, parse_json, read_text

CURVES_FILE = 'curves.json'


@with_config(STRICT)
@dataclass(frozen=True)
class Curve:
    """One quantity over the course of a run."""

    series: Name
    """Name of the quantity."""
    step_unit: Literal['epoch', 'iter']
    """Unit of the steps."""
    points: list[Annotated[list[float], Field(min_length=2, max_length=2)]]
    """Pairs of step and value."""


def write_curves(curves: Sequence[Curve], folder: Path) -> Path:
    """Write ``<folder>/curves.json`` atomically.

    Raises:
        RecordError: A value is not finite or not a number.
        MimBenchError: The disk refuses.
    """
    path = Path(folder) / CURVES_FILE
    text = json.dumps([asdict(curve) for curve in curves])
    parse_json(list[Curve], text, str(path))
    write_atomically({path: text.encode()})
    return path


def read_curves(path: Path) -> list[Curve]:
    """Read a curves file.

    Raises:
        RecordError: It is missing, damaged or holds numbers that are not finite.
    """
    return parse_json(list[Curve], read_text(Path(path), str(path)), str(path))
