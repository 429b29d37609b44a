"""Data of the trainings of this folder."""

from pathlib import Path

import pytest

from mim_bench.data.toy import ToySize, make_toy
from mim_bench.data.toy.spec import SplitCount


@pytest.fixture(scope='session')
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedded dataset of 256 digits to pre-train on; read it only."""
    root = tmp_path_factory.mktemp('digits') / 'data'
    make_toy(root, size=ToySize(SplitCount(256, 20), SplitCount(1, 1), SplitCount(1, 1)))
    return root
