"""Fixtures for all tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mim_bench  # noqa: F401  before mmcv: it makes mmcv._ext importable


@pytest.fixture(autouse=True)
def _fresh_singletons() -> Iterator[None]:
    """A run in this process leaves its scope, logger and visualizer to none of the next tests."""
    yield
    # Not imported here: most tests need neither.
    for module, name in (
        ('mmengine.logging', 'MMLogger'),
        ('mmengine.logging', 'MessageHub'),
        ('mmengine.registry', 'DefaultScope'),
        ('mmengine.visualization', 'Visualizer'),
    ):
        if module in sys.modules:
            getattr(sys.modules[module], name)._instance_dict.clear()


@pytest.fixture(scope='session')
def toy_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The smallest embedded dataset: imagenet 40/20, ade 8/4, coco 8/4. Read it only.

    Each xdist worker draws its own (a second), so no two write the same folder.
    """
    from mim_bench.data.toy import SIZES, make_toy

    root = tmp_path_factory.mktemp('toy') / 'data'
    make_toy(root, size=SIZES['tiny'])
    return root
