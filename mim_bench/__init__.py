"""mim_bench: downstream benchmarks for masked image modelling backbones.

Importing the package makes ``mmcv._ext`` importable where no compiled one is
installed (see :mod:`mim_bench.compat`), without importing anything heavy. The functions of
:mod:`mim_bench.api` are imported when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mim_bench import compat

if TYPE_CHECKING:
    from mim_bench.api import evaluate, features, load

__version__ = '0.1.0'
__all__ = ['evaluate', 'features', 'load']

compat.install()


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return getattr(importlib.import_module('mim_bench.api'), name)
