"""mim_bench: downstream benchmarks for masked image modelling backbones.

Importing the package makes ``mmcv._ext`` importable where no compiled one is
installed (see :mod:`mim_bench.compat`); nothing heavy is imported for it.
"""

from mim_bench import compat

__version__ = '0.1.0'

compat.install()
