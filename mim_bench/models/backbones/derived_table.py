"""What is computed from parameters alone, kept while a network is only evaluated."""

from collections.abc import Callable, Hashable

import torch
from torch import nn


class DerivedTable(nn.Module):
    """Keeps the last tensor that was made from some parameters.

    Gradients need a new one at every call, so one is kept in evaluation mode without gradients
    only, until a parameter changes in place, is replaced or moves, or the mode is set
    (``train``, ``eval``). The module has neither parameters nor keys.

    A change through ``parameter.data`` is not seen before the mode is set the next time;
    mmengine's loops set it before each validation and test.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """Forget the tensor."""
        # A pair, since a parameter as an attribute of its own would become one of this module.
        self._kept = (None, None)

    def forward(
        self,
        parameters: tuple[torch.Tensor, ...],
        request: Hashable,
        make: Callable[[], torch.Tensor],
    ) -> torch.Tensor:
        """The kept tensor, or a new one.

        Args:
            parameters: What the tensor is made from.
            request: What else decides over it, for example a grid and a dtype.
            make: Makes it.
        """
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return make()
        if any(p.is_inference() for p in parameters):  # made so, and they count no changes
            return make()
        key = (request, *((p.data_ptr(), p._version, p.dtype) for p in parameters))
        if key != self._kept[0]:
            self._kept = (key, make())
        return self._kept[1]

    def train(self, mode: bool = True) -> 'DerivedTable':
        """Set the mode and forget the tensor."""
        self.clear()
        return super().train(mode)

    def _apply(self, *args: object, **kwargs: object) -> 'DerivedTable':
        self.clear()  # the parameters move
        return super()._apply(*args, **kwargs)
