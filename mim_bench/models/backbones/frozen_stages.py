"""Freezing the first stages of a backbone, which every family does alike."""

from collections.abc import Iterable

import torch
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn


class FreezableBackbone(BaseBackbone):
    """A backbone whose first stages may be frozen: evaluation mode, no gradients.

    A subclass sets ``frozen_stages`` (negative: nothing is frozen), names the parts in
    :meth:`frozen_parts`, and calls :meth:`freeze` at the end of its ``__init__``.
    """

    frozen_stages: int = -1

    def frozen_parts(self) -> Iterable[nn.Module | torch.Tensor | None]:
        """The modules and parameters that ``frozen_stages`` means; None is left out."""
        raise NotImplementedError

    def freeze(self) -> None:
        """Freeze what :meth:`frozen_parts` names."""
        if self.frozen_stages < 0:
            return
        for part in self.frozen_parts():
            if isinstance(part, nn.Module):
                part.eval()
            if part is not None:
                part.requires_grad_(False)

    def train(self, mode: bool = True) -> 'FreezableBackbone':
        """Frozen parts stay in evaluation mode."""
        super().train(mode)
        self.freeze()
        return self
