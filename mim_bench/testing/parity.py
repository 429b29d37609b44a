"""Fixtures computed with the methods' official code, found by ``MIM_BENCH_PARITY_DIR``.

A few small ones are in ``tests/fixtures``; they serve where the variable is not set.
"""

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
import torch

from mim_bench.suite.locations import configs_folder

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


def fixture_folder(variable: str, shipped: str) -> Path:
    """The folder that an environment variable names, else the one in ``tests/fixtures``."""
    default = configs_folder().parent / 'tests' / 'fixtures' / shipped
    return Path(os.environ.get(variable) or default)


def skipped(reason: str) -> list:
    """The parameters of a test that has nothing to run on."""
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]


def fixtures(kind: str, source: str | None = None, *backbones: str) -> list:
    """The fixtures of a kind, as parameters of a test.

    Args:
        kind: 'pretrain', 'features' or 'classifier'.
        source: For example 'ummae'; all if None.
        *backbones: Some of 'vit', 'swin' and 'pvt'; all if none is named.

    Returns:
        The fixtures, or one parameter that skips with the reason.
    """
    root = fixture_folder(ENVIRONMENT_VARIABLE, 'parity')
    found = []
    for path in sorted(root.glob('*/spec.json')):
        spec = json.loads(path.read_text())
        is_wanted = spec['kind'] == kind and source in (None, spec['source'])
        if is_wanted and (not backbones or spec['backbone'] in backbones):
            found.append(Fixture(path.parent, spec))
    named = ' '.join(filter(None, (source, *backbones, kind)))
    return found or skipped(f'{root} holds no fixture of {named}; see {ENVIRONMENT_VARIABLE}')


def assert_reproduces(ours: torch.Tensor, expected: np.ndarray) -> None:
    """|ours - expected| <= 1e-4 + 1e-4 |expected| (2e-3 where stored as float16)."""
    tolerance = 2e-3 if expected.dtype == np.float16 else TOLERANCE
    torch.testing.assert_close(
        ours.detach(),
        torch.from_numpy(np.asarray(expected)).float().reshape(ours.shape),
        rtol=tolerance,
        atol=tolerance,
    )
