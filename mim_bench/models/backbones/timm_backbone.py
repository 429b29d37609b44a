"""Any model of timm as a backbone of the three libraries, under timm's own names."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from types import MethodType, SimpleNamespace
from typing import Any, ClassVar

import timm
import torch
from mmengine.logging import print_log
from timm.models import group_parameters
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from mim_bench.conversion.resizing.position_embedding import resize_position_embedding
from mim_bench.errors import ConfigError
from mim_bench.models.backbones.timm_families import (
    FIXED_SIZE,
    LEAST,
    MULTIPLES,
    accepted_arguments,
    check_name,
    families_for_any_size,
    family_of,
    fixed_size,
)
from mim_bench.models.backbones.timm_loading import fit_loaded
from mim_bench.models.layers.patches import filling
from mim_bench.models.layers.stages import ForeignBackbone, Stage, is_plain, stages_of
from mim_bench.registry import MODELS

# Arguments by which families permit images of another size than the network's.
_ANY_SIZE = {'dynamic_img_size': True, 'strict_img_size': False}
# Parts behind the maps: classifiers, poolings and their norms.
_HEADS = (
    'head', 'head_dist', 'head_drop', 'classifier', 'fc', 'last_linear', 'fc_norm', 'attn_pool',
    'pre_logits', 'head_norm', 'weights', 'weights_dist',
)  # fmt: skip


@MODELS.register_module()
class TimmBackbone(ForeignBackbone):
    """A model of timm that returns the maps of some of its stages or blocks.

    State-dict keys are those of timm's model. Parts that the maps do not need are removed.

    A plain network, whose maps all have one stride, has an output for each block. If several are
    returned, they are resized bilinearly to the nearest of the strides 4, 8, 16 and 32 (from
    patches of 14 pixels, for example). A pyramid has four outputs of these strides: each is the
    last map of that stride, or else the nearest one, resized bilinearly.

    Images are padded with zeros at the right and bottom to whole patches and to the multiple that
    the family needs, and the maps are cropped. Positions of families that take any size are resized
    to the image in every forward pass. A network for images of one size is built for ``img_size``:
    smaller images are padded to it, and larger ones are refused.

    Args:
        name: Name of the model, with or without the tag of its weights.
        model_args: Arguments of timm's ``create_model`` in which the checkpoint differs from timm's
            definition of the name.
        pos_resize: How the source of the weights fits absolute positions to other grids: arguments
            of :func:`~mim_bench.conversion.resizing.position_embedding.resize_position_embedding`;
            None: timm's bicubic interpolation with antialias.
        pixels: ``mean`` and ``std``, from 0 to 1, of the images that the weights were trained on;
            None: ImageNet's. The network does not read it: the data preprocessor of the model does
            (:func:`mim_bench.recipe.building.normalised_as_trained`).
        out_indices: Stages (of a plain network: blocks) to return; negative ones count from the
            last.
        out_type: 'featmap', or 'raw' (tokens of a plain network, prefix tokens first).
        final_norm: Apply the network's last norm to the last map, where it has one.
        pretrained: Let timm download the weights of ``name``. Never done unasked.
        img_size: Side, or (height, width), in pixels for networks that are built for images of one
            size; None: timm's. Other networks ignore it.
        frozen_stages: Freeze what precedes the first stage or block (>= 0) and the first n of
            them; the number of maps freezes everything.
        drop_path_rate: Stochastic depth, in families that have it.
        with_cp: Recompute activations in the backward pass.
        init_cfg: Initialisation of mmengine.
        **kwargs: Further arguments of timm's ``create_model``.

    Raises:
        ConfigError: timm has no such model, or it returns no intermediate maps.

    Attributes:
        out_channels: Width of each map.
        strides: Stride of each map in pixels.
        resized_keys: Names of weights that were resized on loading.

    Source: ``features_only`` of timm >= 1.0. Differs: the model is not wrapped, so that its
    keys stay as in timm's files.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {'name', 'model_args', 'pos_resize', 'pixels', 'img_size'}
    )

    SPARE = rf'(?:{"|".join(_HEADS)})(?:\..+)?'

    def __init__(
        self,
        name: str,
        *,
        model_args: Mapping[str, Any] | None = None,
        pos_resize: Mapping[str, Any] | None = None,
        pixels: Mapping[str, Any] | None = None,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'featmap',
        final_norm: bool = True,
        pretrained: bool = False,
        img_size: int | Sequence[int] | None = None,
        frozen_stages: int = -1,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(init_cfg)
        check_name(name)
        args = {**(model_args or {}), **kwargs}
        self.fixed_size = fixed_size(name, img_size or args.get('img_size'))
        net = _build(
            name, args, self.fixed_size, drop_path_rate=drop_path_rate, pretrained=pretrained
        )
        self.names = frozenset(net.state_dict())  # before parts are removed
        owner = f'TimmBackbone {name!r}'
        self.choose(_stages(net), out_indices, owner, align=out_type != 'raw')
        self.is_plain = is_plain(self.stages)
        self.taps = sorted({stage.tap for stage in self.chosen})
        keeps_norm = final_norm and max(self.taps) == len(net.feature_info) - 1
        _prune(net, self.taps, keeps_norm=keeps_norm)
        self.last_norm = (
            keeps_norm
            and _width_of(getattr(net, 'norm', None)) == (net.feature_info[-1]['num_chs'])
        )
        self.out_type, self.resized_keys = out_type, []
        if out_type not in ('featmap', 'raw') or (out_type == 'raw' and not self.is_plain):
            raise ConfigError(
                f'TimmBackbone: out_type={out_type!r} of {name!r}. Known: featmap, and raw for '
                'networks whose maps have one stride.'
            )
        side = self.stages[0].own if self.is_plain else 1
        patch = getattr(getattr(net, 'patch_embed', None), 'patch_size', None) or side
        patch = patch if isinstance(patch, Sequence) else (patch, patch)
        multiple = MULTIPLES.get(family_of(name), side)
        self.multiples = tuple(max(int(p), multiple) for p in patch)
        self.least = LEAST.get(family_of(name), 0)
        if pos_resize and getattr(net, 'pos_embed', None) is not None:
            net.pos_resize = dict(pos_resize)
            net._pos_embed = MethodType(_add_positions, net)
        # This module takes over the network's parameters and children, so that their names stay
        # timm's; a child module would add a prefix.
        self.__dict__['net'] = net
        for table in ('_parameters', '_buffers', '_non_persistent_buffers_set', '_modules'):
            self.__dict__[table] = net.__dict__[table]
        self.name, self.in_channels = name, args.get('in_chans', 3)
        self.register_load_state_dict_pre_hook(fit_loaded)
        self.freeze_unused()
        if with_cp:  # not before: a checkpoint may hide its parameters from the graph
            net.set_grad_checkpointing()
        self.frozen_stages = frozen_stages
        self.freeze()

    @staticmethod
    def needs_image_size(config: Mapping[str, Any]) -> bool:
        """Whether the network of a config is built for images of one size."""
        return family_of(config['name']) in FIXED_SIZE

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute features.

        Args:
            x: Images (B, C, H, W).

        Returns:
            A map (B, C_i, rows, cols) for each of ``out_indices``, or its tokens (B, L, C).

        Raises:
            ConfigError: An image is larger than the one size that the network takes.
        """
        size = tuple(x.shape[-2:])
        x = self.filled_up(x)
        if self.out_type == 'raw':
            maps = self._tokens(x)
            return tuple(maps[stage.tap] for stage in self.chosen)
        outs = self.net.forward_intermediates(
            x, indices=self.taps, output_fmt='NCHW', intermediates_only=True
        )
        maps = dict(zip(self.taps, outs, strict=True))
        if self.last_norm:
            maps[self.taps[-1]] = _normed(self.net.norm, maps[self.taps[-1]])
        is_filled = tuple(x.shape[-2:]) != size
        return tuple(stage.fitted(maps[stage.tap], size, is_filled) for stage in self.chosen)

    def freeze_unused(self) -> None:
        """Freeze parameters that no output depends on, which DDP would wait for.

        They are found on the device ``meta``; a network that does not run there keeps all of its
        parameters trainable.
        """
        tensors = dict(self.named_parameters())
        if any(p.is_meta for p in tensors.values()):
            return
        bare = {name: torch.empty_like(p, device='meta') for name, p in tensors.items()}
        trained = {
            name: p.requires_grad_() for name, p in bare.items() if tensors[name].requires_grad
        }
        buffers = {name: torch.empty_like(b, device='meta') for name, b in self.named_buffers()}
        size = self.fixed_size or tuple(_PROBED_PX + -_PROBED_PX % m for m in self.multiples)
        images = torch.empty(2, self.in_channels, *size, device='meta')
        try:
            with torch.enable_grad():
                # Modules may be shared; tied weights would be restored wrongly.
                outs = functional_call(self, {**bare, **buffers}, (images,), tie_weights=False)
        except (RuntimeError, NotImplementedError, TypeError, ValueError):
            return
        used = _leaves_of(outs)
        for name, parameter in trained.items():
            if id(parameter) not in used:
                tensors[name].requires_grad_(False)

    def _tokens(self, x: torch.Tensor) -> dict[int, torch.Tensor]:
        """The tokens of each tap, prefix tokens first."""
        has_prefix = bool(getattr(self.net, 'num_prefix_tokens', 0))
        outs = self.net.forward_intermediates(
            x,
            indices=self.taps,
            output_fmt='NLC',
            intermediates_only=True,
            **(dict(return_prefix_tokens=True) if has_prefix else {}),
        )
        if has_prefix:
            outs = [torch.cat((prefix, patches), dim=1) for patches, prefix in outs]
        if self.last_norm:
            outs[-1] = self.net.norm(outs[-1])
        return dict(zip(self.taps, outs, strict=True))

    def filled_up(self, x: torch.Tensor) -> torch.Tensor:
        """Pad images with zeros at the right and bottom to a size that the network takes.

        Raises:
            ConfigError: They are larger than the one size that the network takes.
        """
        height, width = x.shape[-2:]
        if self.fixed_size is not None:
            bottom, right = self.fixed_size[0] - height, self.fixed_size[1] - width
            if bottom < 0 or right < 0:
                raise ConfigError(
                    f'TimmBackbone: an image of {height} x {width} px for {self.name!r}, which was '
                    f'built for {self.fixed_size} px and takes no other size. Set '
                    f'model.backbone.img_size to the largest one. {families_for_any_size()}'
                )
        else:
            sides = zip((height, width), self.multiples, strict=True)
            bottom, right = (
                max(filling(side, multiple), self.least - side) for side, multiple in sides
            )
        return F.pad(x, (0, right, 0, bottom)) if bottom or right else x

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay, by timm's grouping.

        Where timm does not group the parameters, its stages are the layers.

        Args:
            param_name: Name in the model.
            prefix: Prefix of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for the stem, then a layer a block; layers - 1 for the rest.
        """
        layers = self._layer_of
        is_own = param_name.startswith(prefix)
        name = param_name.removeprefix(prefix) if is_own else _REST
        return layers.get(name, layers[_REST]), layers[_REST] + 1

    @cached_property
    def _layer_of(self) -> dict[str, int]:
        """The layer of each parameter, computed once for all queries of an optimiser."""
        if not hasattr(self.net, 'group_matcher'):
            return self._layers_of_stages()
        names = [*self.net.named_parameters(), (_REST, None)]
        return group_parameters(
            SimpleNamespace(named_parameters=lambda: names),
            self.net.group_matcher(coarse=False),
            reverse=True,
        )

    def _layers_of_stages(self) -> dict[str, int]:
        modules = [f'{entry["module"]}.' for entry in self.net.feature_info]
        layer_of = {_REST: len(modules) + 1}
        for name, _ in self.net.named_parameters():
            stages = [i + 1 for i, module in enumerate(modules) if name.startswith(module)]
            layer_of[name] = stages[0] if stages else 0
        return layer_of

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
        yield from self.net.parameters(recurse=False)  # prefix tokens and position tables
        for name, child in self.net.named_children():
            if name == stages[0].partition('.')[0]:
                break
            yield child
        first = [stage.tap for stage in self.stages[: self.frozen_stages]]
        yield from (parts.get(stage) for stage in stages[: max(first, default=-1) + 1])

    def train(self, mode: bool = True) -> 'TimmBackbone':
        """Set the mode; frozen parts stay in evaluation mode."""
        self.net.training = mode
        return super().train(mode)


# Side in pixels of the images with which unused parameters are found.
_PROBED_PX = 128
_REST = '<rest>'  # matches no group; stands for necks and heads


def _build(
    name: str,
    args: Mapping[str, Any],
    fixed_size: tuple[int, int] | None,
    *,
    drop_path_rate: float,
    pretrained: bool,
) -> nn.Module:
    """Build the network, for images of any size if its family permits that."""
    accepted, args = accepted_arguments(name), dict(args)
    if fixed_size is None:
        args |= {key: value for key, value in _ANY_SIZE.items() if key in accepted}
    elif 'img_size' in accepted:
        args['img_size'] = fixed_size
    if drop_path_rate and 'drop_path_rate' in accepted:
        args['drop_path_rate'] = drop_path_rate
    elif drop_path_rate:
        print_log(f'TimmBackbone: {name!r} has no stochastic depth.', logger='current')
    args |= {k: tuple(v) for k, v in args.items() if isinstance(v, list)}
    try:
        net = timm.create_model(name, pretrained=pretrained, num_classes=0, **args)
    except (AssertionError, ValueError, RuntimeError) as error:
        raise ConfigError(
            f'TimmBackbone: timm builds no {name!r} with {args}: {error}. {families_for_any_size()}'
        ) from error
    if not hasattr(net, 'forward_intermediates'):
        raise ConfigError(f'TimmBackbone: {name!r} of timm gives no intermediate maps.')
    return net


def _stages(net: nn.Module) -> list[Stage]:
    """The outputs of a network, from timm's ``feature_info``."""
    info = list(net.feature_info)
    return stages_of([entry['num_chs'] for entry in info], [entry['reduction'] for entry in info])


def _prune(net: nn.Module, taps: list[int], *, keeps_norm: bool) -> None:
    """Remove parts that no map needs."""
    net.prune_intermediate_layers(taps, prune_norm=not keeps_norm, prune_head=True)
    # What SelecSLS calls its head is its last stage.
    stages = {str(entry.get('module')).partition('.')[0] for entry in net.feature_info}
    for name in set(_HEADS) - stages:
        module = getattr(net, name, None)
        if isinstance(module, nn.Parameter):
            setattr(net, name, None)
        elif isinstance(module, nn.Module) and any(True for _ in module.parameters()):
            setattr(net, name, nn.Identity())


def _normed(norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Normalise a map (B, C, rows, cols) over its channels by a norm of maps or of tokens."""
    if '2d' in type(norm).__name__:
        return norm(x)
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


def _width_of(norm: nn.Module | None) -> int | None:
    """Number of channels of a norm of maps or of tokens; None for other modules."""
    shape = getattr(norm, 'normalized_shape', None)
    if shape is not None:
        return shape[0] if len(shape) == 1 else None
    return norm.num_features if isinstance(norm, nn.BatchNorm2d) else None


def _add_positions(net: nn.Module, x: torch.Tensor) -> Any:
    """Do as ``_pos_embed`` of timm's ViT and EVA, resizing positions as the weights' source does.

    Args:
        net: The network.
        x: Patches (B, rows, cols, C).

    Returns:
        Tokens (B, L, C); for EVA also the rotary positions.
    """
    grid = tuple(x.shape[1:3])
    num_prefix = 0 if net.no_embed_class else net.num_prefix_tokens
    positions = resize_position_embedding(
        net.pos_embed,
        grid,
        num_prefix=num_prefix,
        source_grid=net.patch_embed.grid_size,
        **net.pos_resize,
    )
    x = x.flatten(1, 2)
    tokens = [t.expand(len(x), -1, -1) for t in (net.cls_token, net.reg_token) if t is not None]
    if net.no_embed_class:
        x = torch.cat([*tokens, x + positions], dim=1)
    else:
        x = torch.cat([*tokens, x], dim=1) + positions
    x = net.pos_drop(x)
    if not hasattr(net, 'rope'):
        return x
    return x, None if net.rope is None else net.rope.get_embed(shape=grid)


def _leaves_of(tensors: Sequence[torch.Tensor]) -> set[int]:
    """The identities of the leaves that tensors depend on, without a backward pass."""
    nodes, seen = [tensor.grad_fn for tensor in tensors], set()
    while nodes:
        node = nodes.pop()
        if node is not None and node not in seen:
            seen.add(node)
            nodes += [following for following, _ in node.next_functions]
    return {id(node.variable) for node in seen if hasattr(node, 'variable')}
