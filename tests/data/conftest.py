"""Fixtures for the tests of data."""

import multiprocessing
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are forked: in the whole suite from a process that has everything imported."""
    context = multiprocessing.get_context('forkserver')
    monkeypatch.setattr(multiprocessing, 'get_context', lambda method: context)


@pytest.fixture
def toy_copy(toy_root: Path, tmp_path: Path) -> Path:
    """An embedded dataset that a test may damage."""
    return shutil.copytree(toy_root, tmp_path / 'toy')
