"""Any ``nn.Module`` that returns maps, tokens or vectors as a backbone of the three libraries."""

import copy
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, ClassVar

import torch
from mmengine.logging import print_log
from torch import nn
from torch.nn.parameter import is_lazy

from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.errors import ConfigError
from mim_bench.models.layers.patches import filled_up
from mim_bench.models.layers.stages import ForeignBackbone, stages_of
from mim_bench.registry import MODELS

# Modules that configs of this process refer to by key; a config holds only plain data.
_MODULES: dict[str, nn.Module] = {}
# Share of the largest value by which an image alone may differ from itself in a batch.
_ROUNDING = 0.05
_CONTRACT = (
    'A backbone takes images (B, 3, H, W) and returns maps (B, C, rows, cols), tokens '
    '(B, prefix + rows * cols, C), a list or tuple of these from the first stage to the last, or '
    'one vector an image (B, C).'
)


@MODELS.register_module()
class ModuleBackbone(ForeignBackbone):
    """A copy of a user's module that returns maps of some of its outputs.

    If all outputs have one stride, the module is a plain network with an output for each block.
    Otherwise it is a pyramid, whose maps are resized bilinearly to the strides 4, 8, 16 and 32
    (:func:`~mim_bench.models.layers.stages.stages_of`). Images are padded with zeros at the right
    and bottom to a multiple of the largest stride, and the maps are cropped. A module that pools
    has one output, its vectors (B, C).

    State-dict keys are those of the module under ``net.``.

    Args:
        module: Key given to :func:`keep_module`.
        widths: Channels of the module's outputs, from :func:`describe_module`.
        strides: Strides of the outputs in pixels; 0: vectors.
        num_prefix_tokens: Tokens before those of the patches.
        out_indices: Outputs to return; negative ones count from the last.
        img_size: Ignored: the module decides which sizes it takes.
        frozen_stages: -1, or the number of outputs, which freezes everything.
        drop_path_rate: Ignored with a message: the module sets its own stochastic depth.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: This process has no such module, or it lacks an output.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {'module', 'widths', 'strides', 'num_prefix_tokens', 'img_size'}
    )

    def __init__(
        self,
        module: str,
        *,
        widths: Sequence[int],
        strides: Sequence[int],
        num_prefix_tokens: int = 0,
        out_indices: int | Sequence[int] = -1,
        img_size: int | Sequence[int] | None = None,
        frozen_stages: int = -1,
        drop_path_rate: float = 0.0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if module not in _MODULES:
            raise ConfigError(
                f'ModuleBackbone: this process has no module {module!r}. A plain module is '
                'evaluated by mim_bench.evaluate, in the process that holds it.'
            )
        self.choose(stages_of(widths, strides), out_indices, f'ModuleBackbone {module!r}')
        self.multiple = max(1, *strides)
        self.num_prefix_tokens, self.own_strides = num_prefix_tokens, tuple(strides)
        if drop_path_rate:
            print_log(f'ModuleBackbone: {module!r} keeps its own stochastic depth.', 'current')
        self.net = copy.deepcopy(_MODULES[module])
        self.frozen_stages = frozen_stages
        self.freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute features.

        Args:
            x: Images (B, C, H, W).

        Returns:
            A map (B, C_i, rows, cols) for each of ``out_indices``, or the vectors (B, C).

        Raises:
            ConfigError: The module's outputs are not those that it was described with.
        """
        size = tuple(x.shape[-2:])
        x = filled_up(x, (self.multiple,) * 2)
        outs = outputs_of(self.net(x))
        if len(outs) != len(self.own_strides):
            raise ConfigError(
                f'{type(self.net).__name__}: returned {len(outs)} outputs, and '
                f'{len(self.own_strides)} when it was described. {_CONTRACT}'
            )
        returned = []
        for stage in self.chosen:
            out = outs[stage.tap]
            if stage.own:
                out = as_map(out, tuple(x.shape[-2:]), stage.own, self.num_prefix_tokens)
                out = stage.fitted(out, size, tuple(x.shape[-2:]) != size)
            returned.append(out)
        return tuple(returned)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Layers are the entries of the ``ModuleList`` or ``Sequential`` with most parameters (of
        several, the one with most entries). What is registered before it belongs to layer 0, what
        comes after it to the last entry. A module with a method of this name decides instead.

        Args:
            param_name: Name in the model.
            prefix: Prefix of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for the stem, then one a block; layers - 1 for heads.
        """
        is_own = param_name.startswith(prefix)
        if hasattr(self.net, 'get_layer_depth'):
            return self.net.get_layer_depth(
                param_name.removeprefix(prefix).removeprefix('net.') if is_own else param_name, ''
            )
        layers = self._layer_of
        count = max(layers.values(), default=0) + 2
        name = param_name.removeprefix(prefix).removeprefix('net.')
        return layers.get(name, count - 1) if is_own else count - 1, count

    @cached_property
    def _layer_of(self) -> dict[str, int]:
        return _layers(self.net)

    def frozen_parts(self) -> Iterator[nn.Module]:
        """The whole module.

        Raises:
            ConfigError: ``frozen_stages`` asks to freeze only a part.
        """
        if self.frozen_stages < self.num_outputs:
            raise ConfigError(
                f'ModuleBackbone: frozen_stages={self.frozen_stages}, but the stages of a plain '
                f'module are not known. Use -1, or {self.num_outputs} for all of it.'
            )
        yield self.net


def keep_module(module: nn.Module, key: str) -> None:
    """Store a module under a key, from which configs of this process build copies."""
    _MODULES[key] = module


@torch.no_grad()
def describe_module(
    module: nn.Module, size: int, num_prefix_tokens: int | None = None
) -> dict[str, Any]:
    """Run a module on square images, and describe its outputs for :class:`ModuleBackbone`.

    Args:
        module: The module, in evaluation mode, with parameters in float32.
        size: Side of the image in pixels.
        num_prefix_tokens: Tokens before those of the patches; None: the module's attribute of that
            name. Needed only if the module returns tokens.

    Raises:
        ConfigError: The module fails on the images, returns something else, the same for all, or
            something that depends on the batch or on chance.
    """
    name = type(module).__name__
    device = _device_of(module)
    if num_prefix_tokens is None:
        num_prefix_tokens = getattr(module, 'num_prefix_tokens', None)
    noise = torch.rand(3, size, size, generator=torch.Generator().manual_seed(0))
    try:
        outs = outputs_of(module(torch.stack((torch.zeros_like(noise), noise)).to(device)))
        alone = outputs_of(module(noise[None].to(device)))
    except ConfigError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ConfigError(
            f'{name}: takes no image of {size} x {size} px ({type(error).__name__}: {error}). '
            f'{_CONTRACT}'
        ) from error
    kinds = {out.ndim for out in outs}
    if any(out.ndim and len(out) != 2 for out in outs):
        raise ConfigError(
            f'{name}: returned {[tuple(out.shape) for out in outs]} for two images. {_CONTRACT}'
        )
    _check_sight(name, outs, alone)
    if kinds == {2} and len(outs) == 1:
        return {'widths': [outs[0].shape[1]], 'strides': [0], 'num_prefix_tokens': 0}
    if kinds == {3} and num_prefix_tokens is None:
        raise ConfigError(
            f'{name}: returns tokens {tuple(outs[0].shape)}, and how many of them precede the '
            'patches is not known. Give num_prefix_tokens (0 for none, 1 for a class token).'
        )
    if not kinds <= {3, 4}:
        raise ConfigError(f'{name}: returned {[tuple(out.shape) for out in outs]}. {_CONTRACT}')
    prefix = num_prefix_tokens or 0
    strides = [_stride(out, size, prefix, name) for out in outs]
    if strides != sorted(strides):
        raise ConfigError(
            f'{name}: returns maps of strides {strides}. Return the first stage, of the smallest '
            'stride, first.'
        )
    return {
        'widths': [out.shape[1] if out.ndim == 4 else out.shape[2] for out in outs],
        'strides': strides,
        'num_prefix_tokens': prefix,
    }


def _device_of(module: nn.Module) -> torch.device:
    """The device of a module's parameters.

    Raises:
        ConfigError: It has no parameters, or they are not numbers in float32; its state dict holds
            other things.
    """
    parameters, name = list(module.parameters()), type(module).__name__
    if any(map(is_lazy, [*parameters, *module.buffers()])):
        raise ConfigError(
            f'{name}: has lazy layers without weights. Run it on an image, or load weights, first.'
        )
    if others := [k for k, v in module.state_dict().items() if not isinstance(v, torch.Tensor)]:
        raise ConfigError(
            f'{name}: its state dict holds {others[0]!r}, which is no tensor, so it has no '
            'identity. Give a module whose state is tensors alone.'
        )
    if not parameters:
        raise ConfigError(f'{name}: has no parameters, so there is nothing to evaluate.')
    types = {p.dtype for p in parameters if p.is_floating_point()} - {torch.float32}
    if types:
        raise ConfigError(
            f'{name}: has parameters in {", ".join(sorted(map(str, types)))}. Give '
            'module.float(); the precision of a run is set by its task.'
        )
    if any(p.is_meta for p in parameters):
        raise ConfigError(
            f'{name}: is on the meta device, so its parameters have no values. Load weights first.'
        )
    return parameters[0].device


def _check_sight(name: str, outs: Sequence[torch.Tensor], alone: Sequence[torch.Tensor]) -> None:
    """Refuse features that do not depend on the image, or on more than it.

    Args:
        name: For the message.
        outs: Outputs for two images.
        alone: Outputs for the second one by itself.
    """
    if all(out.ndim and torch.equal(out[0], out[1]) for out in outs):
        raise ConfigError(
            f'{name}: returns the same for different images, so it does not see them. Check its '
            'forward and its weights.'
        )
    pairs = zip(alone, outs, strict=False)
    if len(alone) != len(outs) or not all(_agree(one[0], out[1]) for one, out in pairs):
        raise ConfigError(
            f'{name}: returns other features for an image alone than in a batch, in evaluation '
            'mode. Leave out what is drawn at random or taken from the batch (dropout, statistics '
            'of the batch) while module.training is False.'
        )


def _agree(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two results of one computation differ by rounding at most, where they are finite."""
    if one.shape != other.shape:
        return False
    one, other = one.double(), other.double()
    both = one.isfinite() & other.isfinite()
    distance = (one - other)[both].abs()
    return not distance.numel() or bool(distance.max() <= _ROUNDING * one[both].abs().max())


def outputs_of(returned: object) -> list[torch.Tensor]:
    """Convert what a module returned to a list of tensors.

    Raises:
        ConfigError: It is no tensor and no list or tuple of tensors.
    """
    outs = list(returned) if isinstance(returned, tuple | list) else [returned]
    are_floats = all(isinstance(o, torch.Tensor) and o.is_floating_point() for o in outs)
    if not outs or not are_floats:
        kinds = ', '.join(
            sorted({str(getattr(out, 'dtype', type(out).__name__)) for out in outs}) or ['nothing']
        )
        raise ConfigError(f'The module returned {kinds}. {_CONTRACT}')
    return outs


def as_map(
    out: torch.Tensor, size: Sequence[int], stride: int, num_prefix_tokens: int
) -> torch.Tensor:
    """Convert tokens to a map (B, C, rows, cols); maps are returned unchanged.

    Raises:
        ConfigError: The number of tokens is not that of the grid.
    """
    if out.ndim == 4:
        return out
    rows, cols = (-(-side // stride) for side in size)
    tokens = out[:, num_prefix_tokens:]
    if tokens.shape[1] != rows * cols:
        raise ConfigError(
            f'The module returned {out.shape[1]} tokens for an image of {tuple(size)} px; patches '
            f'of {stride} px give {num_prefix_tokens} + {rows} x {cols}. Return one token for each '
            'patch.'
        )
    return tokens.transpose(1, 2).unflatten(2, (rows, cols))


def _stride(out: torch.Tensor, size: int, num_prefix_tokens: int, name: str) -> int:
    if out.ndim == 3:
        count = out.shape[1] - num_prefix_tokens
        rows = cols = square_side(count)
        is_grid = rows is not None and size % rows == 0
    else:
        rows, cols = out.shape[2:]
        is_grid = rows == cols and 0 < rows <= size
    if not is_grid:
        raise ConfigError(
            f'{name}: returned {tuple(out.shape)} for an image of {size} x {size} px, with '
            f'{num_prefix_tokens} prefix tokens: no square grid of patches. {_CONTRACT}'
        )
    return round(size / rows)


def _layers(net: nn.Module) -> dict[str, int]:
    """The layer of each parameter; see :meth:`ModuleBackbone.get_layer_depth`."""
    weight = {
        name: (sum(p.numel() for p in part.parameters()), len(part))
        for name, part in net.named_modules()
        if isinstance(part, nn.ModuleList | nn.Sequential) and len(part) > 1
    }
    names = [name for name, _ in net.named_parameters()]
    if not weight:
        return dict.fromkeys(names, 0)
    chain = max(weight, key=weight.__getitem__)
    inside = f'{chain}.' if chain else ''
    entries = list(dict(net.get_submodule(chain).named_children()))
    layers, reached = {}, 0
    for name in names:
        if name.startswith(inside):
            reached = entries.index(name.removeprefix(inside).partition('.')[0]) + 1
        layers[name] = reached
    return layers
