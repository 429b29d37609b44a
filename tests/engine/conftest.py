"""Registers the toys of this folder for each test; copies of the embedded data to spoil."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS

from mim_bench.testing.bad_inputs import copy_layout
from mim_bench.testing.toy_runs import ToyImages, ToyMetric, ToyNet, run_config


@pytest.fixture(autouse=True)
def _toy_registry() -> Iterator[None]:
    classes = [(DATASETS, ToyImages), (MODELS, ToyNet), (METRICS, ToyMetric)]
    for registry, cls in classes:
        registry.register_module(module=cls, force=True)
    yield
    for registry, cls in classes:
        registry.module_dict.pop(cls.__name__, None)


@pytest.fixture
def pretraining(tmp_path: Path) -> Callable[..., Config]:
    """Factory of configs in a work directory of their own."""

    def make(name: str = 'run', **changes: Any) -> Config:
        return run_config(tmp_path / name, **changes)

    return make


@pytest.fixture
def copy(toy_root: Path, tmp_path: Path) -> Callable[[str], Path]:
    """Copies one layout of the embedded data, without lists, and returns its folder."""
    return lambda layout: copy_layout(toy_root, layout, tmp_path)
