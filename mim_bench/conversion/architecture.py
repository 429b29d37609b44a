"""The architecture of a backbone, read off its weights under canonical names."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from mim_bench.conversion.resizing.relative_bias import SHARED_TABLE, square_table_grid, table_grid
from mim_bench.errors import ConversionError

if TYPE_CHECKING:
    from mim_bench.conversion.key_table import Converted
    from mim_bench.conversion.source import Source

BACKBONE = 'backbone.'
VIT, SWIN = 'mim_bench.ViT', 'mim_bench.Swin'
UMMAE_SWIN, UMMAE_PVT = 'mim_bench.UMMAESwin', 'mim_bench.UMMAEPvt'
TIMM = 'mim_bench.TimmBackbone'
MODULE = 'mim_bench.ModuleBackbone'  # a module of the process that measures it
CAPI, MIXMIM = 'mim_bench.CapiViT', 'mim_bench.MixMIMEncoder'
# Where to look for what tells the kinds apart.
_KINDS = {
    'blocks.0.attn.freqs': CAPI,
    'absolute_pos_embed': MIXMIM,
    'stages.0.blocks.0.attn.w_msa.posmlp.0.weight': UMMAE_SWIN,
    'stages.0.blocks.0.attn.sr.weight': UMMAE_PVT,
    'stages.0.blocks.0.attn.w_msa.relative_position_bias_table': SWIN,
    'layers.0.attn.qkv.weight': VIT,
}
_HEAD_DIMS = 64
_USUAL_EPS = 1e-6  # of the norms of ViTs
# MAE's ViT-H/14 is the exception: LocalMIM, table of section 1.1 of its specification.
_UNUSUAL_HEADS = {1280: 16}


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
    """Read the architecture off a model's weights.

    Args:
        state: Canonical names; only those under ``backbone.`` matter.

    Raises:
        ConversionError: A weight that tells a size is not there.
    """
    backbone = _Backbone(
        {k.removeprefix(BACKBONE): v for k, v in state.items() if k.startswith(BACKBONE)}
    )
    kind = next((kind for key, kind in _KINDS.items() if key in backbone.state), None)
    if kind is None:
        return Architecture()
    arch, assumed = _READERS[kind](backbone)
    return Architecture(kind, arch, assumed)


def found_architecture(converted: 'Converted', source: 'Source', content: Mapping) -> Architecture:
    """The architecture of converted weights, with what the source and the file's settings add.

    Args:
        converted: By the source.
        source: The format.
        content: The file's dictionary, with the settings beside it.
    """
    found = converted.built or architecture_of(converted.backbone)
    arch, assumed = dict(found.arch), list(found.assumed)
    if source.pos_resize and found.backbone_type == VIT and arch.get('abs_pos') == 'learned':
        arch['pos_resize'] = dict(source.pos_resize)
    settings = content.get('config.json') or {}
    eps = settings.get('layer_norm_eps')
    if found.backbone_type == VIT and eps not in (None, _USUAL_EPS):
        arch['norm_eps'] = eps
    heads = settings.get('num_attention_heads')
    if heads and 'num_heads' in assumed:
        arch['num_heads'] = heads
        assumed.remove('num_heads')
    return Architecture(found.backbone_type, arch, assumed)


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

    def count(self, pattern: str) -> int:
        """One more than the highest number that the pattern's group takes."""
        found = {int(m[1]) for key in self.state if (m := re.match(pattern, key))}
        return max(found, default=-1) + 1

    def depths(self) -> list[int]:
        return [
            self.count(rf'stages\.{s}\.blocks\.(\d+)\.')
            for s in range(self.count(r'stages\.(\d+)'))
        ]

    def patches(self) -> dict:
        """Size of the patches, and channels of the input where they are not three."""
        _, channels, *sides = self.shape('patch_embed.projection.weight')
        size = sides[0] if sides[0] == sides[1] else tuple(sides)
        return {'patch_size': size} | ({'in_channels': channels} if channels != 3 else {})


def _read_vit(backbone: _Backbone) -> tuple[dict, list[str]]:
    state = backbone.state
    dims = backbone.shape('patch_embed.projection.weight')[0]
    block_table = 'layers.0.attn.relative_position_bias_table'
    tables = [key for key in (SHARED_TABLE, block_table) if key in state]
    heads = state[tables[0]].shape[1] if tables else _assumed_heads(dims)
    positions = {SHARED_TABLE: 'shared', block_table: 'per_block'}
    patches = backbone.patches()
    arch = {
        'embed_dims': dims,
        'num_layers': backbone.count(r'layers\.(\d+)\.'),
        'num_heads': heads,
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
    if 'cls_token' not in state:
        arch['with_cls_token'] = False
    return arch, [] if tables else ['num_heads']


def _image_size(state: Mapping, tables: list[str], patch_size: int | tuple) -> dict:
    """Of the images that the table of positions was made for: a square, or its patches only."""
    if 'pos_embed' in state:
        num_patches = state['pos_embed'].shape[1] - ('cls_token' in state)
        side = math.isqrt(num_patches)
        if side * side != num_patches:
            return {'num_patches': num_patches}
    elif tables:
        found = square_table_grid(len(state[tables[0]]))
        if found is None:
            return {}
        side = found[0][0]
    else:
        return {}
    if isinstance(patch_size, int):
        return {'img_size': side * patch_size}
    return {'img_size': tuple(side * p for p in patch_size)}


def unknown_grid(arch: Mapping) -> str | None:
    """What to say where the positions of a ViT are of no square grid, or None."""
    positions = {arch.get('abs_pos', 'none'), arch.get('rel_pos_bias', 'none')}
    if 'img_size' in arch or positions == {'none'}:
        return None
    count = f'{arch["num_patches"]} patches' if 'num_patches' in arch else 'relative positions'
    return (
        f'the table of {count} is of no square grid, and the weights do not show of which. Say '
        '--arch img_size=(height, width), in pixels.'
    )


def _read_swin(backbone: _Backbone) -> tuple[dict, list[str]]:
    table = 'stages.{}.blocks.0.attn.w_msa.relative_position_bias_table'
    depths = backbone.depths()
    shapes = [backbone.shape(table.format(s)) for s in range(len(depths))]
    windows = [table_grid(rows)[0][0] for rows, _ in shapes]
    norms = [s for s in range(len(depths)) if f'norm{s}.weight' in backbone.state]
    return {
        'embed_dims': backbone.shape('patch_embed.projection.weight')[0],
        'depths': depths,
        'num_heads': [heads for _, heads in shapes],
        **backbone.patches(),
        'window_size': windows[0] if len(set(windows)) == 1 else windows,
        'norms': norms,
    }, []


def _read_mixmim(backbone: _Backbone) -> tuple[dict, list[str]]:
    arch, assumed = _read_swin(backbone)
    hidden, dims = backbone.shape('stages.0.blocks.0.ffn.layers.0.0.weight')
    rows = backbone.shape('absolute_pos_embed')[1]
    side = math.isqrt(rows)
    if side * side != rows:
        raise ConversionError(
            f'backbone.absolute_pos_embed has {rows} rows, which do not form a square grid; '
            'others are not read.'
        )
    arch |= {'mlp_ratio': hidden // dims, 'img_size': side * arch['patch_size']}
    return arch | {'norms': ['norm'] if 'norm.weight' in backbone.state else []}, assumed


def _read_capi(backbone: _Backbone) -> tuple[dict, list[str]]:
    dims, *_, patch = backbone.shape('patch_embed.weight')
    return {
        'embed_dims': dims,
        'num_layers': backbone.count(r'blocks\.(\d+)\.'),
        'num_heads': dims // backbone.shape('blocks.0.attn.freqs')[1],
        'feedforward_channels': backbone.shape('blocks.0.fc1.weight')[0],
        'patch_size': patch,
        'num_registers': backbone.shape('registers')[1],
    }, []


def _read_ummae_swin(backbone: _Backbone) -> tuple[dict, list[str]]:
    heads = 'stages.{}.blocks.0.attn.w_msa.posmlp.2.weight'
    depths = backbone.depths()
    return {
        'embed_dims': backbone.shape('patch_embed.projection.weight')[0],
        'depths': depths,
        'num_heads': [backbone.shape(heads.format(s))[0] for s in range(len(depths))],
        'posmlp_dims': backbone.shape('stages.0.blocks.0.attn.w_msa.posmlp.0.weight')[0],
        **backbone.patches(),
        'norms': ['norm'] if 'norm.weight' in backbone.state else [],
    }, []


def _read_ummae_pvt(backbone: _Backbone) -> tuple[dict, list[str]]:
    hidden = 'stages.{}.blocks.0.ffn.layers.0.0.weight'
    depths = backbone.depths()
    shapes = [backbone.shape(hidden.format(s)) for s in range(len(depths))]
    patches = backbone.patches()
    return {
        'embed_dims': [dims for _, dims in shapes],
        'depths': depths,
        'num_heads': [_assumed_heads(dims) for _, dims in shapes],
        'mlp_ratios': [channels // dims for channels, dims in shapes],
        **patches,
        **_image_size(backbone.state, [], patches['patch_size']),
        'norms': ['norm'] if 'norm.weight' in backbone.state else [],
    }, ['num_heads']


def _assumed_heads(dims: int) -> int:
    """Not in the weights without a table of biases: a head is 64 wide in all known sizes."""
    return _UNUSUAL_HEADS.get(dims, max(dims // _HEAD_DIMS, 1))


_READERS = {
    VIT: _read_vit,
    SWIN: _read_swin,
    UMMAE_SWIN: _read_ummae_swin,
    UMMAE_PVT: _read_ummae_pvt,
    MIXMIM: _read_mixmim,
    CAPI: _read_capi,
}
