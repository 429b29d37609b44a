"""Builds the replacement of ``mmcv._ext``: torchvision's operators with mmcv's signatures.

Operators that torchvision lacks exist too, because mmcv looks all of them up
when ``mmcv.ops`` is imported; they raise when they are called.
"""

from types import ModuleType
from typing import NoReturn

from mim_bench.compat import box_overlaps, deform_conv, focal_loss, nms, roi_align
from mim_bench.compat.operators import PROVIDED, compile_line
from mim_bench.errors import OperatorUnavailableError


class MissingOperator:
    """Placeholder of an operator that only a compiled ``mmcv._ext`` has; raises when called."""

    def __init__(self, name: str) -> None:
        self.__name__ = name

    def __call__(self, *args: object, **kwargs: object) -> NoReturn:
        """Raise an error that names the operator and how to get it."""
        raise OperatorUnavailableError(
            f'The operator {self.__name__!r} of mmcv.ops was called, but only a compiled '
            'mmcv._ext has it, and mim_bench.compat stands in for that one here. '
            f"Choose a model without it, or compile mmcv: '{compile_line()}'."
        )


def fill(module: ModuleType) -> None:
    """Fill an empty module with the operators.

    Args:
        module: The new ``mmcv._ext``.
    """
    homes = (box_overlaps, roi_align, nms, deform_conv, focal_loss)
    for name in PROVIDED:
        home = next(home for home in homes if hasattr(home, name))
        setattr(module, name, getattr(home, name))
    module.get_compiler_version = lambda: 'none (operators of mim_bench.compat)'
    module.get_compiling_cuda_version = lambda: 'none (operators of mim_bench.compat)'
    module.__getattr__ = _missing


def _missing(name: str) -> MissingOperator:
    # The import system and inspection ask for dunder names, which must be absent.
    if name.startswith('__'):
        raise AttributeError(name)
    return MissingOperator(name)
