"""Configs of toys in a folder of their own; copies of the embedded data to spoil."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config
from torch.utils.data import _utils
from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter

from mim_bench.testing.bad_inputs import copy_layout
from mim_bench.testing.toy_runs import run_config


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


@pytest.fixture
def impatient_loaders(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make loaders look every 0.2 s, not every 5, whether their workers live."""
    monkeypatch.setattr(_utils, 'MP_STATUS_CHECK_INTERVAL', 0.2)
    monkeypatch.setattr(_MultiProcessingDataLoaderIter._try_get_data, '__defaults__', (0.2,))
