"""The blocks of :class:`~mim_bench.models.backbones.vit.ViT`, with mmpretrain's names."""

from dataclasses import dataclass, replace
from functools import partial

import torch
from mmcv.cnn.bricks import DropPath
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from torch import nn
from torch.utils.checkpoint import checkpoint

from mim_bench.models.backbones.beit_blocks import forward_block
from mim_bench.models.backbones.vit_bias import BiasExpansion, RelativePositionBias
from mim_bench.models.backbones.vit_windows import attend_in_windows, window_shapes

NORM_EPS = 1e-6


@dataclass(frozen=True)
class BlockSettings:
    """What decides over a block.

    Attributes:
        embed_dims: Width of a token.
        num_heads: Heads.
        feedforward_channels: Width of the MLP's hidden layer.
        qkv_bias: 'full', 'qv' (none for the keys) or 'none'.
        layer_scale: What the layer scale starts with, or None for none.
        window_size: Side of the windows of attention, or 0: attention to all tokens.
        bias: Of the block's own table of relative positions, or None for no table.
        drop_path: Rate of stochastic depth.
        with_cp: Recompute the block in the backward pass.
    """

    embed_dims: int
    num_heads: int
    feedforward_channels: int
    qkv_bias: str = 'full'
    layer_scale: float | None = None
    window_size: int = 0
    bias: BiasExpansion | None = None
    drop_path: float = 0.0
    with_cp: bool = False

    def with_changes(self, **changes: object) -> 'BlockSettings':
        """A copy in which some settings differ."""
        return replace(self, **changes)


class ViTAttention(BaseModule):
    """The weights of an attention, and its table of relative positions if it has its own."""

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        dims, self.num_heads = settings.embed_dims, settings.num_heads
        self.scale = (dims // self.num_heads) ** -0.5
        self.bias = 'qv_bias' if settings.qkv_bias == 'qv' else settings.qkv_bias == 'full'
        self.qkv = nn.Linear(dims, 3 * dims, bias=self.bias is True)
        if settings.qkv_bias == 'qv':
            self.q_bias = nn.Parameter(torch.zeros(dims))
            self.v_bias = nn.Parameter(torch.zeros(dims))
        self.proj = nn.Linear(dims, dims)
        self.expansion, table = settings.bias, None
        if self.expansion is not None:
            table = nn.Parameter(torch.zeros(self.expansion.num_rows, self.num_heads))
        self.relative_position_bias_table = table


class ViTBlock(BaseModule):
    """Pre-norm block: x + attention, then x + MLP, each with layer scale and drop path.

    Args:
        settings: Of the block.
    """

    def __init__(self, settings: BlockSettings) -> None:
        super().__init__()
        dims = settings.embed_dims
        self.window_size, self.with_cp = settings.window_size, settings.with_cp
        self.ln1 = nn.LayerNorm(dims, eps=NORM_EPS)
        self.attn = ViTAttention(settings)
        self.ln2 = nn.LayerNorm(dims, eps=NORM_EPS)
        self.ffn = FFN(
            dims, settings.feedforward_channels, act_cfg=dict(type='GELU'), add_identity=False
        )
        self.drop_path = DropPath(settings.drop_path) if settings.drop_path else nn.Identity()
        for name in ('gamma_1', 'gamma_2'):
            scale = settings.layer_scale
            value = None if scale is None else nn.Parameter(torch.full((dims,), float(scale)))
            self.register_parameter(name, value)

    def forward(
        self,
        tokens: torch.Tensor,
        grid: tuple[int, int],
        shared_biases: tuple[torch.Tensor, ...] | None,
    ) -> torch.Tensor:
        """Run the block.

        Args:
            tokens: (B, prefix + rows * cols, C); attention in windows leaves out the prefix,
                which passes through the block unchanged.
            grid: (rows, cols).
            shared_biases: Of a table that blocks share, for :meth:`shapes`; None: the block's
                own table counts, if it has one.
        """
        if self.with_cp and torch.is_grad_enabled():
            return checkpoint(self._forward, tokens, grid, shared_biases, use_reentrant=False)
        return self._forward(tokens, grid, shared_biases)

    def shapes(self, grid: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """The grids within which the tokens of a map see each other."""
        return window_shapes(grid, self.window_size) if self.window_size else (grid,)

    def _forward(
        self,
        tokens: torch.Tensor,
        grid: tuple[int, int],
        biases: tuple[torch.Tensor, ...] | None,
    ) -> torch.Tensor:
        if self.attn.expansion is not None:
            table = self.attn.relative_position_bias_table
            biases = self.attn.expansion(table, self.shapes(grid))
        if not self.window_size:
            return forward_block(self, tokens, biases[0] if biases else None)
        num_prefix = tokens.shape[1] - grid[0] * grid[1]
        prefix, patches = tokens[:, :num_prefix], tokens[:, num_prefix:]
        biases = biases or (None,) * len(self.shapes(grid))
        attend = partial(attend_in_windows, grid=grid, window_size=self.window_size)
        patches = forward_block(self, patches, biases, attend)
        return torch.cat((prefix, patches), dim=1) if num_prefix else patches


def bias_tables(module: nn.Module) -> dict[str, BiasExpansion]:
    """All tables of relative positions of a network: the parameters' names, how they expand."""
    return {
        f'{name}.relative_position_bias_table': part.expansion
        for name, part in module.named_modules()
        if isinstance(part, ViTAttention | RelativePositionBias) and part.expansion is not None
    }
