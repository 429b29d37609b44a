"""Plain transformers block by block, for a model that adds tokens to those of the images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from timm.models import VisionTransformer
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.timm_backbone import TimmBackbone
from mim_bench.models.backbones.vit import ViT

Block = Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]


@dataclass(frozen=True)
class TokenRun:
    """The tokens of images before the first block, and the blocks.

    Attributes:
        tokens: (B, prefix + rows * cols, C).
        grid: (rows, cols) of patches.
        num_prefix: Tokens before the patches.
        blocks: Tokens (B, L, C) and a mask (B, 1, L, L), True = attend, or None -> (B, L, C).
            Further tokens may stand before those of the images.
    """

    tokens: torch.Tensor
    grid: tuple[int, int]
    num_prefix: int
    blocks: Sequence[Block]


def check_token_run(backbone: nn.Module) -> None:
    """Refuse a backbone whose blocks take no further tokens.

    Raises:
        ConfigError: Names the backbone and what stands in the way.
    """
    if isinstance(backbone, TimmBackbone):
        reason = '' if type(backbone.net) is VisionTransformer else type(backbone.net).__name__
        name = backbone.name
    elif isinstance(backbone, ViT):
        has_windows = any(layer.window_size for layer in backbone.layers)
        has_table = backbone.rel_pos_bias_kind != 'none'
        reason = 'relative positions' if has_table else 'windows' if has_windows else ''
        name = 'a ViT'
    else:
        reason, name = 'not a plain transformer', type(backbone).__name__
    if reason:
        raise ConfigError(
            f'The blocks of {name} ({reason}) take no further tokens. Use mim_bench.ViT with '
            "absolute positions, a model of timm's vision_transformer, or another task."
        )


def token_run(backbone: ViT | TimmBackbone, images: torch.Tensor) -> TokenRun:
    """Embed images (B, C, H, W) with a backbone that :func:`check_token_run` accepts."""
    if isinstance(backbone, ViT):
        patches, grid = backbone.embed_patches(images)
        blocks = [_block_of_vit(layer, grid) for layer in backbone.layers]
        tokens = backbone.with_positions(patches, grid)
        return TokenRun(tokens, grid, backbone.num_prefix_tokens, blocks)
    net, images = backbone.net, backbone.filled_up(images)
    sides = zip(images.shape[-2:], net.patch_embed.patch_size, strict=True)
    grid = tuple(side // patch for side, patch in sides)
    tokens = net.norm_pre(net.patch_drop(net._pos_embed(net.patch_embed(images))))
    return TokenRun(tokens, grid, net.num_prefix_tokens, [_block_of_timm(b) for b in net.blocks])


def _block_of_vit(layer: nn.Module, grid: tuple[int, int]) -> Block:
    return lambda tokens, mask: layer(tokens, grid, None if mask is None else (mask,))


def _block_of_timm(block: nn.Module) -> Block:
    return lambda tokens, mask: block(tokens, attn_mask=mask)
