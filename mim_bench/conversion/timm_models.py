"""Networks of timm that a file is the weights of: built, filled by timm's own rules, and proven."""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from mim_bench.conversion.architecture import TIMM, Architecture, assumed_heads
from mim_bench.conversion.files import SIDECAR
from mim_bench.conversion.huggingface_keys import checked_pixels, stated_pixels
from mim_bench.conversion.key_table import BACKBONE, Converted, count
from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.errors import ConversionError, did_you_mean, first_of

if TYPE_CHECKING:
    from torch import nn

StateDict = Mapping[str, torch.Tensor]

# What modules of timm call the function that brings official names to theirs.
_FILTERS = ('checkpoint_filter_fn', '_filter_fn', '_filter_torchvision_pretrained')
# Classifiers, pooling heads and norms behind a pooling: no part of the maps, so files may have them
# or not.
_HEADS = re.compile(r'(?:head|head_\w+|classifier|fc|last_linear|fc_norm|attn_pool|aux_head)\..+')
_ADDED = ('cls_token', 'pos_embed')
# Only what decides the network; the rest of a timm folder's settings is about training.
_NOT_ARCHITECTURE = ('num_classes', 'pretrained', 'features_only', 'drop_rate', 'drop_path_rate')


@dataclass(frozen=True)
class TimmModel:
    """A network of timm, as plain data.

    Attributes:
        name: Name of the architecture, without a tag.
        args: What differs from what timm builds under that name.
        pos_resize: How the file's own code fits absolute positions to other grids, as of
            :func:`~mim_bench.conversion.resizing.position_embedding.resize_position_embedding`;
            empty: as timm does it.
        assumed: Names of ``args`` that the file does not show.
        pixels: ``mean`` and ``std`` by which images were normalised in training, from 0 to 1;
            empty: ImageNet's, or not known.
        dropped: Pattern of the file's names that are no part of the network.
    """

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    pos_resize: Mapping[str, Any] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()
    pixels: Mapping[str, Any] = field(default_factory=dict)
    dropped: str = r'(?!)'

    @property
    def arch(self) -> dict[str, Any]:
        """As ``meta`` of a canonical file has it."""
        kept = {'pos_resize': self.pos_resize, 'pixels': self.pixels}
        return {'name': self.name, **self.args, **{k: dict(v) for k, v in kept.items() if v}}


def read_settings(content: Mapping) -> TimmModel | None:
    """The network that the ``config.json`` of a timm folder names, if there is one."""
    settings = content.get(SIDECAR) or {}
    name = settings.get('architecture')
    if not name:
        return None
    args = {k: _plain(v) for k, v in (settings.get('model_args') or {}).items()}
    if 'global_pool' in settings:
        args.setdefault('global_pool', settings['global_pool'])
    args = {k: v for k, v in args.items() if k not in _NOT_ARCHITECTURE}
    if args.get('in_chans') == 3:
        del args['in_chans']
    stated = settings.get('pretrained_cfg') or {}
    return TimmModel(name, args, pixels=stated_pixels(stated.get('mean'), stated.get('std')))


def settings_name(content: Mapping) -> str:
    """The name and tag in the ``config.json`` of a timm folder; '' where there is none."""
    settings = content.get(SIDECAR) or {}
    tag = (settings.get('pretrained_cfg') or {}).get('tag')
    return '.'.join(filter(None, (settings.get('architecture'), tag)))


def named_model(name: str, state: StateDict, arch: Mapping[str, Any], where: str) -> TimmModel:
    """The network of a name, at the size of image that the file's table of positions is for.

    Args:
        name: Name in timm, with or without a tag, which says by what images were normalised.
        state: The weights.
        arch: Arguments of timm's ``create_model`` that the user states, and ``pixels``.
        where: The file, for messages.
    """
    stated = tagged_settings(name, where) if has_tag(name) else None
    pixels = stated_pixels(stated.mean, stated.std) if stated else {}
    name = check_name(name, where)
    args = dict(arch)
    if 'pixels' in args:
        pixels = checked_pixels(args.pop('pixels'), where)
    if 'fc_norm.weight' in state and 'norm.weight' not in state:
        args.setdefault('global_pool', 'avg')
    table = next((v for k, v in state.items() if k.split('.')[-1] == 'pos_embed'), None)
    named = TimmModel(name, args, pixels=pixels)
    if table is None or 'img_size' in args or table.ndim != 3:
        return named
    net = build(named, where)
    own = getattr(net, 'pos_embed', None)
    patch = getattr(getattr(net, 'patch_embed', None), 'patch_size', None)
    if own is None or patch is None or own.shape == table.shape:
        return named
    # A file may have rows for tokens that timm adds no positions to.
    for prefix in range(6):
        side = square_side(table.shape[1] - prefix)
        if side is None:
            continue
        sized = replace(named, args={**args, 'img_size': side * patch[0]})
        if _fits(sized, state, where):
            return sized
    return named


def has_tag(name: str) -> bool:
    """Whether a name of timm says which weights are meant, as in ``vit_base_patch16_224.mae``."""
    return '.' in name.rpartition('/')[2]


def tagged_settings(name: str, where: str) -> Any:
    """What timm states of the weights of a name with a tag.

    Raises:
        ConversionError: timm has no such network, or no such weights.
    """
    import timm

    architecture = check_name(name, where)
    try:
        return timm.get_pretrained_cfg(_without_place(name))
    except RuntimeError as error:
        known = ', '.join(timm.list_pretrained(f'{architecture}.*')) or 'none'
        raise ConversionError(
            f'{where}: timm {timm.__version__} has no weights of that name. It has {known}.'
        ) from error


def check_name(name: str, where: str) -> str:
    """The architecture of a name of timm.

    Raises:
        ConversionError: timm has none of that name.
    """
    import timm

    architecture = _without_place(name).partition('.')[0]
    if not timm.is_model(architecture):
        hint = did_you_mean(architecture, timm.list_models(), n=3)
        raise ConversionError(f'{where}: timm {timm.__version__} has no {architecture!r}.{hint}')
    return architecture


def _without_place(name: str) -> str:
    """A name of timm without the hub and the account of its weights, as in ``hf-hub:timm/``."""
    return name.removeprefix('hf-hub:').removeprefix('timm/')


def activation_note(name: str) -> str | None:
    """What to say of a CLIP of timm, whose activation leaves no trace in the weights.

    None where timm has the weights of that tag with one activation only.
    """
    import timm

    base, _, tag = _without_place(name).partition('.')
    quick = base.replace('_clip_', '_clip_quickgelu_')
    is_open = quick != base and timm.is_model(quick)
    if not is_open or (tag and not timm.list_pretrained(f'{quick}.{tag}')):
        return None
    return (
        f'{base} computes GELU, and some CLIPs (of OpenAI, MetaCLIP, DFN) were trained with quick '
        f'GELU, which leaves no trace in the weights: {quick} computes that.'
    )


def pixels_note(name: str) -> str | None:
    """What to say of a name without a tag of which timm has weights for other pixels.

    None where all were trained on images that were normalised by ImageNet's numbers.
    """
    import timm

    if has_tag(name):
        return None
    name = _without_place(name)
    stated = {tag: timm.get_pretrained_cfg(tag) for tag in timm.list_pretrained(f'{name}.*')}
    others = [tag for tag, cfg in stated.items() if stated_pixels(cfg.mean, cfg.std)]
    if not others:
        return None
    return (
        f'timm has weights of {name} whose images were not normalised by the mean and deviation of '
        f'ImageNet ({", ".join(others[:3])}). If the file is of such a training, name it: --timm '
        f'{others[0]}, or --arch pixels=....'
    )


def build(model: TimmModel, where: str) -> 'nn.Module':
    """The network without memory for its weights.

    Raises:
        ConversionError: timm does not build it.
    """
    import timm

    check_name(model.name, where)
    try:
        with torch.device('meta'):
            return timm.create_model(model.name, num_classes=0, **model.args)
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        raise ConversionError(
            f'{where}: timm builds no {model.name} with {dict(model.args)}: {error}. Correct '
            '--arch, or name another --timm.'
        ) from error


def through_timm(model: TimmModel, state: StateDict, where: str) -> Converted:
    """Weights under timm's names, all of the network's and no others.

    Raises:
        ConversionError: The file is of another network: weights are missing, left over, of another
            shape, or timm had to change their sizes.
    """
    is_dropped = re.compile(model.dropped).fullmatch
    dropped = [key for key in state if is_dropped(key)]
    kept = {key: value for key, value in state.items() if not is_dropped(key)}
    net = build(model, where)
    weights = filtered(model.name, net, kept, where)
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    missing = [key for key in shapes if key not in weights and not _HEADS.fullmatch(key)]
    left = [
        key
        for key, value in weights.items()
        if key not in shapes and value.numel() and not _HEADS.fullmatch(key)
    ]
    other = [key for key in weights if key in shapes and weights[key].shape != shapes[key]]
    resized = [key for key in weights if key in kept and _is_resized(kept[key], weights[key])]
    problems = {
        'lacks': missing,
        'has besides': left,
        'has of another shape': [
            f'{key} {tuple(weights[key].shape)}, not {tuple(shapes[key])}' for key in other
        ],
        'has of another size': [
            f'{key} {tuple(kept[key].shape)}, not {tuple(shapes.get(key, ()))}' for key in resized
        ],
    }
    if any(problems.values()):
        told = '; '.join(f'it {what} {first_of(k, 4)}' for what, k in problems.items() if k)
        raise ConversionError(
            f'{where}: is not the network {model.name} of timm{_with(model.args)}: {told}. Name '
            'the right one with --timm NAME, or say what differs with --arch KEY=VALUE.'
        )
    dropped += [key for key in weights if key not in shapes]
    backbone = {f'{BACKBONE}{key}': value for key, value in weights.items() if key in shapes}
    built = Architecture(TIMM, model.arch, list(model.assumed))
    return Converted(backbone=backbone, dropped=dropped, built=built)


def _is_resized(given: torch.Tensor, made: torch.Tensor) -> bool:
    """Whether a loader changed a weight's size; it may put the class token's position elsewhere."""
    lost_row = given.ndim == 3 and given.numel() - made.numel() == given.shape[-1]
    return given.numel() != made.numel() and not lost_row


def filtered(name: str, net: 'nn.Module', state: StateDict, where: str) -> dict[str, torch.Tensor]:
    """The weights as timm's own loader of the family names them.

    Loaders add positions to the class token, which half precision would round.

    Raises:
        ConversionError: The loader fails on these weights.
    """
    rename = filter_of(name)
    if rename is None:
        return dict(state)
    state = {k: v.float() if k.endswith(_ADDED) else v for k, v in state.items()}
    try:
        return dict(rename(state, net))
    except Exception as error:  # whatever another's code stumbles over
        raise ConversionError(
            f"{where}: timm's loader of {name} cannot read these weights "
            f'({type(error).__name__}: {error}). Name another --timm.'
        ) from error


def filter_of(name: str) -> Callable[[dict, 'nn.Module'], Mapping] | None:
    """The function by which timm's loader of a family renames weights; None if it has none."""
    import timm

    module = sys.modules[timm.model_entrypoint(name).__module__]
    found = next((vars(module)[key] for key in _FILTERS if key in vars(module)), None)
    if found is not None and name.startswith('deit3_'):
        return partial(found, adapt_layer_scale=True)
    if found is not None and found.__code__.co_argcount == 1:
        return lambda state, net: found(state)
    return found


def side_of_table(rows: int, where: str) -> int:
    """The side of the square grid of a table of positions.

    Raises:
        ConversionError: It is of none.
    """
    side = square_side(rows)
    if side is None:
        raise ConversionError(
            f'{where}: {rows} positions do not form a square grid, and the weights do not show '
            'another. Name the network: --timm NAME, with its --arch img_size=(height, width).'
        )
    return side


def vit_args(
    weights: StateDict, where: str, *, num_prefix: int, hidden: int, num_heads: int | None = None
) -> dict[str, Any]:
    """Arguments of a ViT of timm, from weights under timm's names.

    The table ``pos_embed`` has ``num_prefix`` rows before those of a square of patches; the MLPs
    have ``hidden`` channels; heads are assumed unless given.
    """
    dims, *_, patch = weights['patch_embed.proj.weight'].shape
    return {
        'img_size': patch * side_of_table(weights['pos_embed'].shape[1] - num_prefix, where),
        'patch_size': patch,
        'embed_dim': dims,
        'depth': count(weights),
        'num_heads': num_heads or assumed_heads(dims),
        'mlp_ratio': hidden / dims,
        **({} if 'blocks.0.attn.qkv.bias' in weights else {'qkv_bias': False}),
    }


def _fits(model: TimmModel, state: StateDict, where: str) -> bool:
    try:
        through_timm(model, state, where)
    except ConversionError:
        return False
    return True


def _with(args: Mapping[str, Any]) -> str:
    return f' with {", ".join(f"{k}={v}" for k, v in args.items())}' if args else ''


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value
