"""The architecture of a backbone, read off its weights under canonical names."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from mim_bench.architectures import CLASSES
from mim_bench.conversion.files import SIDECAR, meta_of, run_meta
from mim_bench.conversion.huggingface_keys import hub_settings, stated_pixels
from mim_bench.conversion.key_table import BACKBONE, Converted, count
from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.conversion.resizing.relative_bias import (
    SHARED_TABLE,
    TABLE,
    square_table_grid,
    table_grid,
)
from mim_bench.errors import ConversionError, first_of

if TYPE_CHECKING:
    from mim_bench.conversion.source import Source

VIT, SWIN, UMMAE_SWIN, UMMAE_PVT = (
    CLASSES[family] for family in ('vit', 'swin', 'ummae-swin', 'ummae-pvt')
)
TIMM = 'mim_bench.TimmBackbone'
MODULE = 'mim_bench.ModuleBackbone'  # a module of the process that measures it
CAPI, MIXMIM = 'mim_bench.CapiViT', 'mim_bench.MixMIMEncoder'
# Backbones that their weights do not show, by the key under which a run names them.
STATED = {'timm': TIMM, 'module': MODULE}
# How the code that a file comes from fits positions to other grids, and normalises images.
OF_SOURCE = ('pos_resize', 'bias_interpolation', 'pixels')
_HEAD_DIMS = 64
_ENDING = r'\.(?:weight|bias)'
_USUAL_EPS = 1e-6  # of the norms of ViTs
# MAE's ViT-H/14 is the exception: LocalMIM, table of section 1.1 of its specification.
_UNUSUAL_HEADS = {1280: 16}
Read = tuple[dict, list[str]]


@dataclass(frozen=True)
class Architecture:
    """What builds a backbone.

    Attributes:
        backbone_type: Name of its class; None where the weights are of none that is known.
        arch: Sizes, as the class takes them under ``arch``, and further settings that leave
            their trace: ``img_size``, ``patch_size``, ``window_size``, positions, norms;
            ``num_patches`` in place of ``img_size`` for a table of no square grid.
        assumed: Keys of ``arch`` that leave no trace and were assumed.
    """

    backbone_type: str | None = None
    arch: dict = field(default_factory=dict)
    assumed: list[str] = field(default_factory=list)


def architecture_of(state: Mapping[str, torch.Tensor]) -> Architecture:
    """Read the architecture off a model's weights under canonical names.

    Raises:
        ConversionError: A weight that tells a size is not there, or the class has no place for one.
    """
    backbone = _Backbone(
        {k.removeprefix(BACKBONE): v for k, v in state.items() if k.startswith(BACKBONE)}
    )
    name = next((name for name, kind in KINDS.items() if kind.mark in backbone.state), None)
    if name is None:
        return Architecture()
    kind = KINDS[name]
    if other := [key for key in backbone.state if not re.fullmatch(kind.weights, key)]:
        raise ConversionError(
            f'{name} has no place for the weights {first_of(other, 4)} under {BACKBONE}, so they '
            'are of another network. If timm has it, give its file in the names of timm or of the '
            'official repository, with --timm NAME.'
        )
    return Architecture(name, *kind.read(backbone))


def stated_network(content: Mapping) -> Architecture | None:
    """The backbone that a canonical file, or a run of mim_bench, names; None: its weights show it.

    Args:
        content: The file's dictionary.
    """
    meta, run = meta_of(content), run_meta(content)
    if meta.get('backbone_type') in STATED.values() and meta.get('layout') is None:
        return Architecture(meta['backbone_type'], dict(meta.get('arch') or {}))
    found = ((kind, run[key]) for key, kind in STATED.items() if run.get(key))
    return next((Architecture(kind, dict(arch)) for kind, arch in found), None)


def found_architecture(converted: Converted, source: 'Source', content: Mapping) -> Architecture:
    """The architecture of converted weights, with what the source and the file's settings add."""
    found = converted.built or architecture_of(converted.backbone)
    arch, assumed = dict(found.arch), list(found.assumed)
    settings = hub_settings(content)
    _check_settings(settings, arch)
    if found.backbone_type == VIT:
        if source.pos_resize and arch['abs_pos'] == 'learned':
            arch['pos_resize'] = dict(source.pos_resize)
        if source.bias_interpolation and arch['rel_pos_bias'] != 'none':
            arch['bias_interpolation'] = source.bias_interpolation
        if (eps := settings.get('layer_norm_eps')) not in (None, _USUAL_EPS):
            arch['norm_eps'] = eps
        arch |= _stated_grid(settings.get('image_size'), arch)
    pixels = stated_pixels(settings.get('image_mean'), settings.get('image_std'))
    if pixels and found.backbone_type in (VIT, TIMM):
        arch['pixels'] = pixels
    heads = settings.get('num_attention_heads')
    if heads and 'num_heads' in assumed:
        arch['num_heads'] = heads
        assumed.remove('num_heads')
    return Architecture(found.backbone_type, arch, assumed)


def _stated_grid(size: object, arch: Mapping) -> dict:
    """The oblong images that settings name, whose grid a table of positions does not show."""
    is_pair = isinstance(size, list) and len(size) == 2 and size[0] != size[1]
    if not is_pair or arch['abs_pos'] == 'none':
        return {}
    patch = (
        arch['patch_size'] if isinstance(arch['patch_size'], tuple) else (arch['patch_size'],) * 2
    )
    own = arch.get('img_size')
    sides = own if isinstance(own, tuple) else (own, own)
    count = arch.get('num_patches') or math.prod(s // p for s, p in zip(sides, patch, strict=True))
    if math.prod(s // p for s, p in zip(size, patch, strict=True)) != count:
        raise ConversionError(
            f'{SIDECAR} beside the file says image_size={size} for a table of {count} positions. '
            'Correct it.'
        )
    return {'img_size': size, 'num_patches': count}


def _check_settings(settings: Mapping, arch: Mapping) -> None:
    """Refuse settings beside a plain transformer that its weights contradict."""
    if not {'num_layers', 'depth'} & set(arch):
        return
    dims = arch.get('embed_dims', arch.get('embed_dim'))
    shown = {'hidden_size': dims, 'num_hidden_layers': arch.get('num_layers', arch.get('depth'))}
    for key, value in shown.items():
        if settings.get(key, value) != value:
            raise ConversionError(
                f'{SIDECAR} beside the file is of another network: it says {key}={settings[key]}, '
                f'the weights say {value}. Put the file beside its own, or alone into a folder.'
            )
    heads, eps = settings.get('num_attention_heads', 1), settings.get('layer_norm_eps', 1.0)
    if not isinstance(heads, int) or dims % heads or not isinstance(eps, int | float):
        raise ConversionError(
            f'{SIDECAR} beside the file says num_attention_heads={heads!r} and layer_norm_eps='
            f'{eps!r} for weights of {dims} channels. Correct it.'
        )


def unknown_grid(arch: Mapping) -> str | None:
    """What to say where the positions of a ViT are of no square grid, or None."""
    positions = {arch.get('abs_pos', 'none'), arch.get('rel_pos_bias', 'none')}
    if 'img_size' in arch or positions == {'none'}:
        return None
    count = f'{arch["num_patches"]} patches' if 'num_patches' in arch else 'relative positions'
    return (
        f'the table of {count} is of no square grid, and the weights do not show of which. Say '
        'it by `mim-bench convert --arch img_size=(height, width)`, in pixels.'
    )


@dataclass(frozen=True)
class _Backbone:
    """Weights without their prefix, and how to ask them."""

    state: Mapping[str, torch.Tensor]

    def shape(self, key: str) -> torch.Size:
        if key not in self.state:
            raise ConversionError(
                f'The weights lack backbone.{key}, so the architecture cannot be read off them. '
                'Check that the file is complete.'
            )
        return self.state[key].shape

    def stages(self, key: str) -> list[torch.Size]:
        """Shapes of a weight of the first block of every stage."""
        stages = range(count(self.state, r'stages\.(\d+)'))
        return [self.shape(f'stages.{stage}.blocks.0.{key}') for stage in stages]

    def pyramid(self) -> dict:
        """What all pyramids have."""
        stages = range(count(self.state, r'stages\.(\d+)'))
        return {
            'embed_dims': self.shape('patch_embed.projection.weight')[0],
            'depths': [count(self.state, rf'stages\.{stage}\.blocks\.(\d+)\.') for stage in stages],
            **self.patches(),
            'norms': ['norm'] if 'norm.weight' in self.state else [],
        }

    def patches(self) -> dict:
        """Size of the patches, and channels of the input where they are not three."""
        _, channels, *sides = shape = self.shape('patch_embed.projection.weight')
        if len(sides) != 2:
            raise ConversionError(
                f'The patches of the weights have the shape {tuple(shape)}: mim_bench reads '
                'networks for images, with (width, channels, height, width).'
            )
        size = sides[0] if sides[0] == sides[1] else tuple(sides)
        return {'patch_size': size} | ({'in_channels': channels} if channels != 3 else {})


def _read_vit(backbone: _Backbone) -> Read:
    state = backbone.state
    dims = backbone.shape('patch_embed.projection.weight')[0]
    block_table = f'layers.0.attn.{TABLE}'
    tables = [key for key in (SHARED_TABLE, block_table) if key in state]
    positions = {SHARED_TABLE: 'shared', block_table: 'per_block'}
    patches = backbone.patches()
    arch = {
        'embed_dims': dims,
        'num_layers': count(state, r'layers\.(\d+)\.'),
        'num_heads': state[tables[0]].shape[1] if tables else assumed_heads(dims),
        'feedforward_channels': backbone.shape('layers.0.ffn.layers.0.0.weight')[0],
        **patches,
        **_image_size(state, tables, patches['patch_size']),
        # Whether a table was trained leaves no trace.
        'abs_pos': 'learned' if 'pos_embed' in state else 'none',
        'rel_pos_bias': positions[tables[0]] if tables else 'none',
        'qv_bias': 'layers.0.attn.q_bias' in state,
        'layer_scale': 'layers.0.gamma_1' in state,
        'norms': [norm for norm in ('ln1', 'ln2') if f'{norm}.weight' in state],
    }
    for norm in ('ln1', 'ln2'):
        if f'layers.0.{norm}.weight' in state:
            backbone.shape(f'layers.0.{norm}.bias')  # RMSNorm has none
    if 'layers.0.ffn.layers.1.weight' in state:
        taken = backbone.shape('layers.0.ffn.layers.1.weight')[1]
        if taken != arch['feedforward_channels']:
            raise ConversionError(
                f'The MLPs of the weights have {arch["feedforward_channels"]} channels behind the '
                f'first layer and {taken} before the second, as gated ones (SwiGLU), which '
                'mim_bench.ViT lacks. If timm has the network, name it: --timm NAME.'
            )
    if not arch['qv_bias'] and 'layers.0.attn.qkv.bias' not in state:
        arch['qkv_bias'] = 'none'
    if 'cls_token' not in state:
        arch['with_cls_token'] = False
    return arch, [] if tables else ['num_heads']


def _image_size(state: Mapping, tables: list[str], patch_size: int | tuple) -> dict:
    """Image size for which the table of positions was made: a side, or patches alone."""
    if 'pos_embed' in state:
        num_patches = state['pos_embed'].shape[1] - ('cls_token' in state)
        side = square_side(num_patches)
        if side is None:
            return {'num_patches': num_patches}
    elif tables and (found := square_table_grid(len(state[tables[0]]))):
        side = found[0][0]
    else:
        return {}
    if isinstance(patch_size, int):
        return {'img_size': side * patch_size}
    return {'img_size': tuple(side * p for p in patch_size)}


def _read_swin(backbone: _Backbone) -> Read:
    shapes = backbone.stages(f'attn.w_msa.{TABLE}')
    windows = [table_grid(rows)[0][0] for rows, _ in shapes]
    return {
        **backbone.pyramid(),
        'num_heads': [heads for _, heads in shapes],
        'window_size': windows[0] if len(set(windows)) == 1 else windows,
        'norms': [s for s in range(len(shapes)) if f'norm{s}.weight' in backbone.state],
    }, []


def _read_mixmim(backbone: _Backbone) -> Read:
    arch, assumed = _read_swin(backbone)
    (hidden, dims), *_ = backbone.stages('ffn.layers.0.0.weight')
    rows = backbone.shape('absolute_pos_embed')[1]
    side = square_side(rows)
    if side is None:
        raise ConversionError(
            f'backbone.absolute_pos_embed has {rows} rows, which do not form a square grid; '
            'others are not read.'
        )
    arch |= {'mlp_ratio': hidden // dims, 'img_size': side * arch['patch_size']}
    return arch | {'norms': backbone.pyramid()['norms']}, assumed


def _read_capi(backbone: _Backbone) -> Read:
    dims, *_, patch = backbone.shape('patch_embed.weight')
    return {
        'embed_dims': dims,
        'num_layers': count(backbone.state, r'blocks\.(\d+)\.'),
        'num_heads': dims // backbone.shape('blocks.0.attn.freqs')[1],
        'feedforward_channels': backbone.shape('blocks.0.fc1.weight')[0],
        'patch_size': patch,
        'num_registers': backbone.shape('registers')[1],
    }, []


def _read_ummae_swin(backbone: _Backbone) -> Read:
    return {
        **backbone.pyramid(),
        'num_heads': [shape[0] for shape in backbone.stages('attn.w_msa.posmlp.2.weight')],
        'posmlp_dims': backbone.stages('attn.w_msa.posmlp.0.weight')[0][0],
    }, []


def _read_ummae_pvt(backbone: _Backbone) -> Read:
    shapes, arch = backbone.stages('ffn.layers.0.0.weight'), backbone.pyramid()
    return {
        **arch,
        'embed_dims': [dims for _, dims in shapes],
        'num_heads': [assumed_heads(dims) for _, dims in shapes],
        'mlp_ratios': [channels // dims for channels, dims in shapes],
        **_image_size(backbone.state, [], arch['patch_size']),
    }, ['num_heads']


def assumed_heads(dims: int) -> int:
    """Number of heads by the usual width of 64, which weights without biases do not tell."""
    return _UNUSUAL_HEADS.get(dims, max(dims // _HEAD_DIMS, 1))


@dataclass(frozen=True)
class Kind:
    """A class of backbones whose weights show which it is.

    Attributes:
        mark: A weight that no class after it in :data:`KINDS` has alone.
        read: Sizes and settings, and which of them are assumed.
        sizes: What the class takes under ``arch``.
        settings: Further arguments that have the same name in ``meta``.
        unseen: Those among them that leave no trace in the weights.
        weights: Pattern of all weights that files may have, those of pre-training included.
    """

    mark: str
    read: Callable[[_Backbone], Read]
    sizes: tuple[str, ...]
    settings: tuple[str, ...]
    unseen: tuple[str, ...] = ()
    weights: str = '.+'


_TOKENS = 'cls_token|dist_token|mask_token|vis_mask_token'
_RELATIVE = 'relative_position_(?:bias_table|index)'
_MLP = r'ffn\.layers\.(?:0\.0|1)'
_VIT_WEIGHTS = (
    rf'{_TOKENS}|pos_embed|(?:patch_embed\.projection|ln[12]){_ENDING}|'
    rf'layers\.\d+\.(?:ln[12]|attn\.(?:qkv|proj)|{_MLP}){_ENDING}|'
    rf'layers\.\d+\.(?:gamma_[12]|attn\.(?:[qv]_bias|rel_pos_[hw]|{_RELATIVE}))|'
    rf'(?:window_)?rel_pos_bias\.{_RELATIVE}|'
    r'proj_(?:weights|layers\..+)'  # MFF fuses blocks by them, in pre-training alone
)
_SWIN_WEIGHTS = (
    rf'{_TOKENS}|patch_embed\.(?:projection|norm){_ENDING}|'
    rf'stages\.\d+\.blocks\.\d+\.(?:norm[12]|attn\.w_msa\.(?:qkv|proj)|{_MLP}){_ENDING}|'
    rf'stages\.\d+\.blocks\.\d+\.attn\.(?:w_msa\.{_RELATIVE}|attn_mask)|'
    rf'stages\.\d+\.downsample\.(?:norm{_ENDING}|reduction\.weight)'
)
_PLAIN = ('embed_dims', 'num_layers', 'num_heads', 'feedforward_channels')
_PYRAMID = ('embed_dims', 'depths', 'num_heads')
_IMAGES = ('patch_size', 'in_channels')
# In the order in which their marks are looked for.
KINDS = {
    CAPI: Kind('blocks.0.attn.freqs', _read_capi, _PLAIN, ('patch_size', 'num_registers')),
    MIXMIM: Kind(
        'absolute_pos_embed',
        _read_mixmim,
        (*_PYRAMID, 'mlp_ratio'),
        (*_IMAGES, 'img_size', 'window_size'),
        weights=rf'{_SWIN_WEIGHTS}|absolute_pos_embed|norm{_ENDING}',
    ),
    UMMAE_SWIN: Kind(
        'stages.0.blocks.0.attn.w_msa.posmlp.0.weight',
        _read_ummae_swin,
        (*_PYRAMID, 'posmlp_dims'),
        (*_IMAGES, 'window_size'),
        ('window_size',),
    ),
    UMMAE_PVT: Kind(
        'stages.0.blocks.0.attn.sr.weight',
        _read_ummae_pvt,
        (*_PYRAMID, 'mlp_ratios'),
        (*_IMAGES, 'img_size', 'sr_ratios'),
        ('sr_ratios', 'img_size'),
    ),
    SWIN: Kind(
        f'stages.0.blocks.0.attn.w_msa.{TABLE}',
        _read_swin,
        _PYRAMID,
        (*_IMAGES, 'window_size', 'norm_eps', 'norm2_eps'),
        ('norm_eps', 'norm2_eps'),
        rf'{_SWIN_WEIGHTS}|norm\d{_ENDING}',
    ),
    VIT: Kind(
        'layers.0.attn.qkv.weight',
        _read_vit,
        _PLAIN,
        (
            *_IMAGES, 'img_size', 'abs_pos', 'rel_pos_bias', 'with_cls_token', 'pos_resize',
            'bias_interpolation', 'norm_eps', 'pixels',
        ),
        ('img_size', 'pos_resize', 'bias_interpolation', 'norm_eps', 'pixels'),
        _VIT_WEIGHTS,
    ),
}  # fmt: skip
