"""Base classes of this project's networks: weight initialisation and frozen stages."""

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from mmpretrain.models.backbones.base_backbone import BaseBackbone
from torch import nn

from mim_bench.errors import CheckpointError, ConfigError, first_of


def refuse_others(backbone: nn.Module, given: Iterable[str], own: Iterable[str]) -> None:
    """Refuse a file with weights that a network does not have, whose features would be others.

    Args:
        backbone: Its class has the pattern ``SPARE``.
        given: Names in the file.
        own: Names in the network.

    Raises:
        CheckpointError: Names the weights.
    """
    own = set(own)
    if other := [k for k in given if k not in own and not re.fullmatch(backbone.SPARE, k)]:
        raise CheckpointError(
            f'The checkpoint has weights that this {type(backbone).__name__} lacks: '
            f'{first_of(other, 4)}. It is of another network. Build it as the checkpoint is, with '
            '--fit-backbone, or give another file (mim-bench inspect shows what it is).'
        )


def refuse_others_loaded(
    backbone: nn.Module, state: Mapping[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Load hook that does :func:`refuse_others` with the weights that are left to load."""
    given = (key.removeprefix(prefix) for key in state if key.startswith(prefix))
    refuse_others(backbone, given, backbone.state_dict())


def resolved_indices(
    owner: str, name: str, indices: int | Sequence[int], count: int, of: str = 'blocks'
) -> tuple[int, ...]:
    """Resolve an argument that names blocks or maps, negative ones counted from the last.

    Args:
        owner: Name of the network, for messages.
        name: Name of the argument.
        indices: The argument.
        count: Number of blocks or maps.
        of: What is counted.

    Raises:
        ConfigError: An index names none.
    """
    given = [indices] if isinstance(indices, int) else list(indices)
    if any(not -count <= i < count for i in given):
        raise ConfigError(
            f'{owner}: {name} {given} must lie in {-count} to {count - 1}, since the network has '
            f'{count} {of}.'
        )
    return tuple(i % count for i in given)


class OwnWeights:
    """Mixin before mmengine's ``BaseModule`` for a module that initialises its own weights.

    The own initialisation runs before ``init_cfg``, so it never overwrites what ``init_cfg``
    sets, such as a pre-trained file.
    """

    def init_own_weights(self) -> None:
        """Initialise the parameters as the module's source does."""
        raise NotImplementedError

    def init_weights(self) -> None:
        """Own initialisation, then that of the children, then ``init_cfg``."""
        if not self.is_init:
            self.init_own_weights()
            # mmengine logs parameters whose mean changed; zeros and ones do not change it.
            noted = getattr(self, '_params_init_info', {})
            for parameter in self.parameters() if noted else ():
                noted[parameter]['init_info'] = f'Initialized by {type(self).__name__} itself'
                noted[parameter]['tmp_mean_value'] = parameter.data.mean().cpu()
        super().init_weights()


class Backbone(OwnWeights, BaseBackbone):
    """A backbone whose first stages can be frozen (evaluation mode, no gradients).

    A subclass sets ``frozen_stages`` (negative: nothing is frozen), names the parts in
    :meth:`frozen_parts`, and calls :meth:`freeze` at the end of its ``__init__``.

    Attributes:
        num_outputs: Number of maps that ``out_indices`` can select.
        out_channels: Widths of the returned maps.
        strides: Stride of each returned map in pixels.
    """

    frozen_stages: int = -1
    num_outputs: int
    out_channels: tuple[int, ...]
    strides: tuple[int, ...]

    def frozen_parts(self) -> Iterable[nn.Module | torch.Tensor | None]:
        """Modules and parameters that ``frozen_stages`` freezes; None entries are skipped."""
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

    def train(self, mode: bool = True) -> 'Backbone':
        """Set the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        self.freeze()
        return self
