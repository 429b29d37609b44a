"""The attention of the standard Swin: windows, and a table of relative positions as bias."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.models.backbones.dense_swin_blocks import SwinLayout, attend_map, expand_bias
from mim_bench.models.backbones.derived_table import DerivedTable


class SwinWindowAttention(BaseModule):
    """The weights of window attention, under mmpretrain's names.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        window_size: Side of a window in tokens; the table has (2 * window_size - 1) ** 2 rows.
    """

    def __init__(self, embed_dims: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        self.num_heads, self.window_size = num_heads, window_size
        self.scale = (embed_dims // num_heads) ** -0.5
        table = torch.zeros((2 * window_size - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.expanded_bias = DerivedTable()

    def forward(self, x: torch.Tensor, layout: SwinLayout) -> torch.Tensor:
        """(B, H, W, C) -> the same shape."""
        table = self.relative_position_bias_table
        # Windows that shrink to the map take another bias from the same table.
        bias = self.expanded_bias(
            (table,), layout.plan.window, lambda: expand_bias(table, layout.index)
        )
        return attend_map(self, x, layout, bias)


class SwinAttention(BaseModule):
    """Attention of a block, not shifted or shifted; keeps mmpretrain's key ``w_msa``.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        window_size: Side of a window in tokens.
        shifted: Whether the block shifts its windows.
    """

    def __init__(self, embed_dims: int, num_heads: int, window_size: int, *, shifted: bool) -> None:
        super().__init__()
        self.shifted = shifted
        self.w_msa = SwinWindowAttention(embed_dims, num_heads, window_size)

    def forward(self, x: torch.Tensor, layouts: Sequence[SwinLayout]) -> torch.Tensor:
        """(B, H, W, C), windows not shifted and shifted -> the same shape."""
        return self.w_msa(x, layouts[int(self.shifted)])


def init_swin_weights(module: nn.Module) -> None:
    """Swin's initialisation of one module; pass it to ``apply``.

    Linear: normal with deviation 0.02, truncated; zero bias. LayerNorm: ones and zeros.

    Source: Swin, arXiv:2103.14030, official ``_init_weights``.
    """
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.LayerNorm):
        nn.init.ones_(module.weight)
        nn.init.zeros_(module.bias)


def init_bias_table(module: nn.Module) -> None:
    """Swin's initialisation of the table of one module, normal with deviation 0.02."""
    if isinstance(module, SwinWindowAttention):
        nn.init.trunc_normal_(module.relative_position_bias_table, std=0.02)
