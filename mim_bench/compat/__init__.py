"""Makes the OpenMMLab stack run without compiled code, on both of its distributions.

mmcv's compiled operators are hard to install and not needed here:
:mod:`~mim_bench.compat.import_hooks` supplies ``mmcv._ext`` from torchvision if no compiled one is
installed, and patches the few places where released OpenMMLab code does not fit current torch or
setuptools. :mod:`~mim_bench.compat.stack` and :func:`operator_sources` report what is installed.
"""

from mim_bench.compat.import_hooks import install
from mim_bench.compat.operators import operator_sources

__all__ = ['install', 'operator_sources']
