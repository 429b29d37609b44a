"""Any model of timm as a backbone of the three libraries, under timm's own names."""

import difflib
import inspect
import sys
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import ClassVar

import timm
import torch
from timm.models import group_parameters
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.layers.base import Backbone
from mim_bench.registry import MODELS

# What families call the permission for images of another size than the network's.
_ANY_SIZE = ('dynamic_img_size', 'strict_img_size')


@MODELS.register_module()
class TimmBackbone(Backbone):
    """A model of timm that returns the maps of some of its stages or blocks.

    State-dict keys are those of timm's model; what the maps do not need is left out of it.
    Images are filled up with zeros at the right and at the bottom to whole patches.

    Args:
        name: Of the model, with or without the tag of its weights.
        out_indices: Stages (of a ViT: blocks) to return; negative ones count from the last.
        pretrained: Let timm download the weights of ``name``. Never done unasked.
        img_size: Side, or (height, width), in pixels for models with tables of positions;
            None is timm's. Families that can take images of any size do.
        frozen_stages: Freeze what stands before the first stage or block (>= 0) and the first n
            of them; the number of maps freezes everything.
        with_cp: Recompute activations in the backward pass.
        init_cfg: Initialisation of mmengine.
        **kwargs: Of timm's ``create_model``: ``drop_path_rate``, ...

    Raises:
        ConfigError: timm has no such model, or it gives no intermediate maps.

    Attributes:
        out_channels: Width of each map.
        strides: Stride of each map in pixels.

    Source: ``features_only`` of timm >= 1.0. Differs: the model is not wrapped, so that its
    keys stay as in timm's files.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset({'name'})

    def __init__(
        self,
        name: str,
        *,
        out_indices: int | Sequence[int] = -1,
        pretrained: bool = False,
        img_size: int | Sequence[int] | None = None,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(init_cfg)
        _check_name(name)
        out_indices = [out_indices] if isinstance(out_indices, int) else list(out_indices)
        if img_size is not None:
            kwargs['img_size'] = img_size if isinstance(img_size, int) else tuple(img_size)
        net = timm.create_model(
            name, pretrained=pretrained, num_classes=0, **{**_any_size(name), **kwargs}
        )
        if not hasattr(net, 'forward_intermediates'):
            raise ConfigError(f'TimmBackbone: {name!r} of timm gives no intermediate maps.')
        self.num_outputs = len(net.feature_info)
        self.out_indices = _prune(net, out_indices)
        info = [net.feature_info[i] for i in self.out_indices]
        self.out_channels = tuple(entry['num_chs'] for entry in info)
        self.strides = tuple(entry['reduction'] for entry in info)
        if with_cp:
            net.set_grad_checkpointing()
        # The network's own tables of parameters and children become this module's, so that
        # names are timm's; registered as a child, it would put its name before all of them.
        self.__dict__['net'] = net
        for table in ('_parameters', '_buffers', '_non_persistent_buffers_set', '_modules'):
            self.__dict__[table] = net.__dict__[table]
        self.frozen_stages = frozen_stages
        self.freeze()

    def init_own_weights(self) -> None:
        """Nothing: timm initialises a network as it builds it."""

    def init_weights(self) -> None:
        """Follow ``init_cfg``, which may load a file; without one, timm's weights stay."""
        if self.init_cfg is not None:
            super().init_weights()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features.

        Args:
            x: Images (B, C, H, W).

        Returns:
            A map (B, C_i, rows, cols) for each of ``out_indices``.
        """
        patch_size = getattr(getattr(self.net, 'patch_embed', None), 'patch_size', None) or (1, 1)
        bottom, right = (-s % p for s, p in zip(x.shape[-2:], patch_size, strict=True))
        if bottom or right:
            x = F.pad(x, (0, right, 0, bottom))
        return tuple(
            self.net.forward_intermediates(
                x, indices=list(self.out_indices), output_fmt='NCHW', intermediates_only=True
            )
        )

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay, as timm groups them.

        Args:
            param_name: Name in the model.
            prefix: Of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for the stem, then a layer a block; layers - 1 for the rest.

        Raises:
            ConfigError: timm does not say how this model's parameters are grouped.
        """
        if not hasattr(self.net, 'group_matcher'):
            raise ConfigError(
                f'TimmBackbone: timm does not number the layers of {type(self.net).__name__}. '
                'Train it without layer-wise learning-rate decay.'
            )
        # A name that no group matches stands for the heads that follow.
        rest = '<rest>'
        names = [*self.net.named_parameters(), (rest, None)]
        layers = group_parameters(
            SimpleNamespace(named_parameters=lambda: names),
            self.net.group_matcher(coarse=False),
            reverse=True,
        )
        is_own = param_name.startswith(prefix)
        name = param_name.removeprefix(prefix) if is_own else rest
        return layers.get(name, layers[rest]), layers[rest] + 1

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The stem and the first stages, in the order of timm's ``feature_info``.

        Raises:
            ConfigError: The model does not say which modules its stages are.
        """
        if self.frozen_stages >= self.num_outputs:
            yield self.net
            return
        stages = [entry.get('module') for entry in self.net.feature_info]
        parts = dict(self.net.named_modules())
        if not stages[0] or stages[0] not in parts:
            raise ConfigError(
                f'TimmBackbone: timm does not name the stages of {type(self.net).__name__}, so '
                f'frozen_stages={self.frozen_stages} has no meaning. Use -1, or {self.num_outputs} '
                'for all of it.'
            )
        yield from self.net.parameters(recurse=False)  # tokens and tables of positions
        for name, child in self.net.named_children():
            if name == stages[0].partition('.')[0]:
                break
            yield child
        yield from (parts.get(stage) for stage in stages[: self.frozen_stages])

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """Set the mode; frozen parts stay in evaluation mode."""
        self.net.training = mode
        return super().train(mode)


def _check_name(name: str) -> None:
    architecture, _, tag = name.partition('.')
    if not timm.is_model(architecture):
        near = difflib.get_close_matches(architecture, timm.list_models(), n=3)
        hint = f' Did you mean {" or ".join(map(repr, near))}?' if near else ''
        raise ConfigError(f'TimmBackbone: timm {timm.__version__} has no {architecture!r}.{hint}')
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ConfigError(
            f'TimmBackbone: {architecture!r} of timm {timm.__version__} has no tag {tag!r}. Give '
            'the name without it, or with one of timm.list_pretrained.'
        ) from error


def _any_size(name: str) -> dict[str, bool]:
    """The argument by which the model's family takes images of any size, if it has one."""
    module = sys.modules[timm.model_entrypoint(name).__module__]
    for family in vars(module).values():
        is_own = inspect.isclass(family) and family.__module__ == module.__name__
        if not is_own or not issubclass(family, nn.Module):
            continue
        accepted = inspect.signature(family.__init__).parameters
        for argument in _ANY_SIZE:
            # Networks have classes; their parts may take the argument, too.
            if argument in accepted and 'num_classes' in accepted:
                return {argument: argument == 'dynamic_img_size'}
    return {}


def _prune(net: nn.Module, out_indices: list[int]) -> tuple[int, ...]:
    """Drop what no map needs; the indices, all of them counted from the first."""
    num_maps = len(net.feature_info)
    if any(not -num_maps <= i < num_maps for i in out_indices):
        raise ConfigError(
            f'TimmBackbone: out_indices {out_indices} name a map that is not among '
            f'{num_maps} of {type(net).__name__}.'
        )
    indices = [i % num_maps for i in out_indices]
    net.prune_intermediate_layers(indices, prune_norm=True, prune_head=True)
    return tuple(indices)
