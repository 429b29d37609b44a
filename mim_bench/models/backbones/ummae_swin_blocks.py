"""The blocks of UM-MAE's Swin: position MLP and window attention."""

from dataclasses import dataclass

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F

from mim_bench.models.backbones.biased_attention import attend_to_few
from mim_bench.models.backbones.derived_table import DerivedTable
from mim_bench.models.backbones.ummae_pyramid_layers import PyramidBlock
from mim_bench.models.backbones.windows import WindowPlan, from_windows, to_windows


@dataclass(frozen=True)
class WindowLayout:
    """What the blocks of a stage share: the windows and the offsets between their tokens.

    Attributes:
        plan: The windows.
        offsets: (T, 2) float32, the offsets (key - query) that can occur, in token units.
        index: int64 into ``offsets``: (tokens, tokens) shared by all windows, or
            (B, windows, tokens, tokens) where every image has its own places.
        mask: (windows, tokens, tokens) float32 of 0 and -100, or None.
    """

    plan: WindowPlan
    offsets: torch.Tensor
    index: torch.Tensor
    mask: torch.Tensor | None


class PositionMLP(nn.Sequential):
    """Bias of attention from the offset between two tokens.

    f = sign(d) * ln(1 + |d|) for each axis, then Linear - ReLU - Linear. The layers are
    1x1 convolutions so that the official weights fit as they are.

    Args:
        hidden_dims: Width of the hidden layer.
        num_heads: Width of the output.

    Source: UM-MAE's official Swin (``posmlp``). Differs: evaluated once on every offset
    that can occur and looked up, instead of on every pair of tokens.
    """

    def __init__(self, hidden_dims: int, num_heads: int) -> None:
        super().__init__(
            nn.Conv2d(2, hidden_dims, 1), nn.ReLU(), nn.Conv2d(hidden_dims, num_heads, 1)
        )

    def forward(self, offsets: torch.Tensor) -> torch.Tensor:
        """(T, 2) offsets in token units -> (T, heads) biases."""
        scaled = offsets.sign() * offsets.abs().log1p()
        hidden = F.relu(F.linear(scaled, self[0].weight.flatten(1), self[0].bias))
        return F.linear(hidden, self[2].weight.flatten(1), self[2].bias)


class WindowAttention(BaseModule):
    """Multi-head self-attention inside windows, with the position MLP as bias.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        posmlp_dims: Hidden width of the position MLP.
    """

    def __init__(self, embed_dims: int, num_heads: int, posmlp_dims: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.posmlp = PositionMLP(posmlp_dims, num_heads)
        self.expanded_bias = DerivedTable()

    def bias(self, layout: WindowLayout) -> torch.Tensor:
        """The additive attention mask: (1 or B, 1 or windows, heads, tokens, tokens)."""
        if layout.index.dim() == 4:  # every image has its own places
            bias = self._expand(layout)
        else:
            parameters = tuple(self.posmlp.parameters())
            bias = self.expanded_bias(parameters, layout.plan.window, lambda: self._expand(layout))
        return bias if layout.mask is None else bias + layout.mask[None, :, None]

    def _expand(self, layout: WindowLayout) -> torch.Tensor:
        index = layout.index if layout.index.dim() == 4 else layout.index[None, None]
        table = self.posmlp(layout.offsets).t()  # (heads, T)
        # The gradient of this gather is several times as fast as that of table[:, index].
        bias = table.gather(1, index.reshape(1, -1).expand(self.num_heads, -1))
        return bias.reshape(self.num_heads, *index.shape).permute(1, 2, 0, 3, 4)

    def forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        """(B, windows, tokens, C) -> the same shape."""
        b, windows, tokens, c = x.shape
        qkv = self.qkv(x).reshape(b, windows, tokens, 3, self.num_heads, -1)
        bias = self.bias(layout).to(qkv.dtype)
        if bias.shape[1] == 1 or len(bias) == b:
            # Windows join the batch: queries, keys and values stay where they are.
            qkv = qkv.flatten(0, 1).permute(2, 0, 3, 1, 4)
            x = attend_to_few(*qkv, bias.flatten(0, 1)).transpose(1, 2)
        else:
            # Windows join the heads, so that a bias that images share is never copied.
            qkv = qkv.permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
            x = attend_to_few(*qkv, bias.flatten(1, 2).expand(b, -1, -1, -1))
            x = x.unflatten(1, (windows, self.num_heads)).transpose(2, 3)
        return self.proj(x.reshape(b, windows, tokens, c))


class ShiftWindowAttention(BaseModule):
    """Cuts a map into windows, attends, puts it back; keeps mmpretrain's key ``w_msa``."""

    def __init__(self, embed_dims: int, num_heads: int, posmlp_dims: int) -> None:
        super().__init__()
        self.w_msa = WindowAttention(embed_dims, num_heads, posmlp_dims)

    def forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        """(B, H, W, C) -> the same shape."""
        return from_windows(self.w_msa(to_windows(x, layout.plan), layout), layout.plan)


class UMMAESwinBlock(PyramidBlock):
    """A block with window attention.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        posmlp_dims: Hidden width of the position MLP.
        shifted: Whether the block shifts its windows.
        **kwargs: Of :class:`PyramidBlock`.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        posmlp_dims: int,
        *,
        shifted: bool,
        **kwargs: object,
    ) -> None:
        attn = ShiftWindowAttention(embed_dims, num_heads, posmlp_dims)
        super().__init__(embed_dims, attn, **kwargs)
        self.shifted = shifted

    def forward(self, x: torch.Tensor, context: list[WindowLayout]) -> torch.Tensor:
        """(B, H, W, C), windows not shifted and shifted -> the same shape."""
        return super().forward(x, context[int(self.shifted)])
