"""Fixtures for the tests of data."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def toy_copy(toy_root: Path, tmp_path: Path) -> Path:
    """An embedded dataset that a test may damage."""
    return shutil.copytree(toy_root, tmp_path / 'toy')
