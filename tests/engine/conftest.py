"""Registers the toys of this folder for each test."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from mmengine.registry import DATASETS, METRICS, MODELS

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
