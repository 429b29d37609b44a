"""Fixtures computed with the methods' official code, found by ``MIM_BENCH_PARITY_DIR``."""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch

ENVIRONMENT_VARIABLE = 'MIM_BENCH_PARITY_DIR'
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Fixture:
    """One folder with ``spec.json``, ``io.npz`` and the path of a checkpoint.

    Attributes:
        folder: Where it lies.
        spec: The content of ``spec.json``.
    """

    folder: Path
    spec: dict

    @cached_property
    def io(self) -> dict[str, np.ndarray]:
        """Inputs and expected outputs by name."""
        with np.load(self.folder / 'io.npz') as arrays:
            return dict(arrays)

    @property
    def checkpoint(self) -> Path:
        """The checkpoint in the official layout."""
        return (self.folder / self.spec['checkpoint']).resolve()

    def images(self) -> torch.Tensor:
        """The input images as (B, 3, H, W) float32."""
        return torch.from_numpy(self.io['image']).float()

    def __str__(self) -> str:
        return self.folder.name


def fixtures(source: str, backbone: str, kind: str) -> list:
    """The fixtures of a kind, as parameters of a test.

    Args:
        source: For example 'ummae'.
        backbone: 'vit', 'swin' or 'pvt'.
        kind: 'pretrain', 'features' or 'classifier'.

    Returns:
        The fixtures, or one parameter that skips with the reason.
    """
    return _found(source=source, backbone=backbone, kind=kind)


def all_fixtures(kind: str) -> list:
    """The fixtures of a kind of every source, as :func:`fixtures` gives them."""
    return _found(kind=kind)


def _found(**wanted: str) -> list:
    root = os.environ.get(ENVIRONMENT_VARIABLE)
    if not root:
        return _skipped(f'{ENVIRONMENT_VARIABLE} is not set: no fixtures from the official code')
    found = []
    for path in sorted(Path(root).glob('*/spec.json')):
        spec = json.loads(path.read_text())
        if all(spec[key] == value for key, value in wanted.items()):
            found.append(Fixture(path.parent, spec))
    named = ' '.join(wanted.values())
    return found or _skipped(f'{ENVIRONMENT_VARIABLE}={root} holds no fixture of {named}')


def _skipped(reason: str) -> list:
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


def assert_reproduces(ours: torch.Tensor, expected: np.ndarray) -> None:
    """|ours - expected| <= 1e-4 + 1e-4 |expected| (2e-3 where stored as float16)."""
    tolerance = 2e-3 if expected.dtype == np.float16 else TOLERANCE
    torch.testing.assert_close(
        ours.detach(),
        torch.from_numpy(np.asarray(expected)).float().reshape(ours.shape),
        rtol=tolerance,
        atol=tolerance,
    )
