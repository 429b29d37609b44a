"""Makes the OpenMMLab stack run without compiled code, on both of its distributions.

Compiled ``mmcv`` operators are what users of this ecosystem fail to install
first, so none is needed here: :mod:`~mim_bench.compat.import_hooks` supplies
``mmcv._ext`` from torchvision where no compiled one is installed, and patches the
few places where released OpenMMLab code no longer fits current torch or
setuptools. What is installed, and from where, is reported by
:mod:`~mim_bench.compat.stack` and :func:`operator_sources`.
"""

from mim_bench.compat.import_hooks import install
from mim_bench.compat.operators import operator_sources

__all__ = ['install', 'operator_sources']
