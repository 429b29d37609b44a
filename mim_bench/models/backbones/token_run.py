"""Runs plain transformers block by block, for a model that adds tokens to those of the images."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from timm.models import Beit, Eva, VisionTransformer
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.timm_backbone import TimmBackbone
from mim_bench.models.backbones.vit import ViT
from mim_bench.registry import MODELS

Block = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]
_TIMM_REASONS = {
    Beit: "Beit: timm's relative positions are of the tokens of an image alone; its file becomes a "
    'mim_bench.ViT by mim-bench convert --source timm'
}


@dataclass(frozen=True)
class TokenRun:
    """The tokens of images before the first block, and the blocks.

    Attributes:
        tokens: (B, prefix + rows * cols, C).
        grid: (rows, cols) of patches.
        num_prefix: Tokens before the patches.
        blocks: Functions of tokens (B, L, C) and a mask (B, 1, L, L), True = attend, or None, that
            return (B, L, C). Extra tokens may precede those of the images; relative positions
            add nothing to their logits, and rotary positions do not turn them.
    """

    tokens: torch.Tensor
    grid: tuple[int, int]
    num_prefix: int
    blocks: Sequence[Block]


def check_token_run(backbone: nn.Module) -> None:
    """Refuse a backbone whose blocks take no extra tokens.

    Raises:
        ConfigError: Names the backbone and the reason.
    """
    if isinstance(backbone, TimmBackbone):
        kind = type(backbone.net)
        reason = '' if kind in (Eva, VisionTransformer) else _TIMM_REASONS.get(kind, kind.__name__)
        name = backbone.name
    elif isinstance(backbone, ViT):
        has_windows = any(layer.window_size for layer in backbone.layers)
        has_axes = backbone.rel_pos_bias_kind == 'decomposed'
        reason = 'relative positions of each axis' if has_axes else 'windows' if has_windows else ''
        name = 'a ViT'
    else:
        reason, name = 'not a plain transformer', type(backbone).__name__
    if reason:
        raise ConfigError(
            f'The blocks of {name} ({reason}) take no further tokens. Use mim_bench.ViT without '
            "windows, a model of timm's vision_transformer or eva, or another task."
        )


def check_config(model: Mapping[str, Any]) -> None:
    """Check the backbone of a model's config by :func:`check_token_run`, if it is an EoMT."""
    if str(model.get('type')).rpartition('.')[2] == 'EoMT':
        with torch.device('meta'):
            check_token_run(MODELS.build(dict(model['backbone'])))


def token_run(backbone: ViT | TimmBackbone, images: torch.Tensor) -> TokenRun:
    """Embed images (B, C, H, W) with a backbone that :func:`check_token_run` accepts."""
    if isinstance(backbone, ViT):
        patches, grid = backbone.embed_patches(images)
        (shared,) = backbone.shared_biases(grid, backbone.num_layers).get(0) or (None,)
        blocks = [_block_of_vit(layer, grid, shared) for layer in backbone.layers]
        tokens = backbone.with_positions(patches, grid)
        return TokenRun(tokens, grid, backbone.num_prefix_tokens, blocks)
    net, images = backbone.net, backbone.filled_up(images)
    sides = zip(images.shape[-2:], net.patch_embed.patch_size, strict=True)
    grid = tuple(side // patch for side, patch in sides)
    tokens = net.patch_embed(images)
    if isinstance(net, Eva):
        tokens, rotary = net._pos_embed(tokens)
        per_block = rotary if getattr(net, 'rope_mixed', False) else [rotary] * len(net.blocks)
        blocks = [_block_of_eva(*pair) for pair in zip(net.blocks, per_block, strict=True)]
    else:
        tokens = net.patch_drop(net._pos_embed(tokens))
        blocks = [_block_of_timm(block) for block in net.blocks]
    return TokenRun(net.norm_pre(tokens), grid, net.num_prefix_tokens, blocks)


def _block_of_vit(layer: nn.Module, grid: tuple[int, int], shared: torch.Tensor | None) -> Block:
    """A block whose relative positions, its own or ``shared``, skip extra tokens."""

    def run(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        bias, table = shared, layer.attn.bias
        if table is not None:
            (bias,) = table.expand(layer.attn.relative_position_bias_table, (grid,))
        if bias is not None:
            further = tokens.shape[1] - bias.shape[-1]
            bias = F.pad(bias, (further, 0, further, 0))
            mask = bias if mask is None else bias.masked_fill(~mask, float('-inf'))
        return layer(tokens, grid, None if mask is None else (mask,))

    return run


def _block_of_timm(block: nn.Module) -> Block:
    return lambda tokens, mask: block(tokens, attn_mask=mask)


def _block_of_eva(block: nn.Module, rotary: torch.Tensor | None) -> Block:
    """A block that turns the last of its tokens by ``rotary``, (..., rows * cols, 2 * D).

    It leaves as many tokens unturned as stand before the patches of an image. Of as many further
    ones, the turn is that of an angle of 0.
    """

    def run(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        turns = rotary
        if turns is not None:
            further = tokens.shape[1] - block.attn.num_prefix_tokens - turns.shape[-2]
            sines, cosines = turns.tensor_split(2, dim=-1)
            padding = (0, 0, further, 0)
            turns = torch.cat((F.pad(sines, padding), F.pad(cosines, padding, value=1.0)), dim=-1)
        return block(tokens, rope=turns, attn_mask=mask)

    return run
