"""The blocks of UM-MAE's Swin: position MLP, window attention, downsampling."""

from dataclasses import dataclass

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

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

    def bias(self, layout: WindowLayout) -> torch.Tensor:
        """The additive attention mask: (1 or B, windows * heads or heads, tokens, tokens)."""
        table = self.posmlp(layout.offsets)  # (T, heads)
        bias = table.t()[:, layout.index]  # (heads, [B, windows,] tokens, tokens)
        is_shared = layout.index.dim() == 2
        # (1 or B, 1 or windows, heads, tokens, tokens)
        bias = bias[None, None] if is_shared else bias.permute(1, 2, 0, 3, 4)
        if layout.mask is not None:
            bias = bias + layout.mask[None, :, None]
        elif bias.shape[1] != layout.plan.num_windows:
            bias = bias.expand(-1, layout.plan.num_windows, -1, -1, -1)
        return bias.flatten(1, 2)

    def forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        """(B, windows, tokens, C) -> the same shape."""
        b, windows, tokens, c = x.shape
        qkv = self.qkv(x).reshape(b, windows, tokens, 3, self.num_heads, -1)
        # (3, B, windows, heads, tokens, d) -> (B, windows * heads, tokens, d)
        q, k, v = (part.flatten(1, 2) for part in qkv.permute(3, 0, 1, 4, 2, 5))
        bias = self.bias(layout).to(q.dtype)
        x = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(b, -1, -1, -1))
        x = x.reshape(b, windows, self.num_heads, tokens, -1).transpose(2, 3)
        return self.proj(x.reshape(b, windows, tokens, c))


class ShiftWindowAttention(BaseModule):
    """Cuts a map into windows, attends, puts it back; keeps mmpretrain's key ``w_msa``."""

    def __init__(self, embed_dims: int, num_heads: int, posmlp_dims: int) -> None:
        super().__init__()
        self.w_msa = WindowAttention(embed_dims, num_heads, posmlp_dims)

    def forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        """(B, H, W, C) -> the same shape."""
        return from_windows(self.w_msa(to_windows(x, layout.plan), layout), layout.plan)


class UMMAESwinBlock(BaseModule):
    """Pre-norm block: x + attention, then x + MLP.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        posmlp_dims: Hidden width of the position MLP.
        shifted: Whether the block shifts its windows.
        drop_path: Rate of stochastic depth.
        with_cp: Recompute the block's activations in the backward pass.
    """

    def __init__(
        self,
        embed_dims: int,
        num_heads: int,
        posmlp_dims: int,
        *,
        shifted: bool,
        drop_path: float = 0.0,
        with_cp: bool = False,
    ) -> None:
        super().__init__()
        self.shifted = shifted
        self.with_cp = with_cp
        # The official blocks keep torch's eps of 1e-5; every other norm has 1e-6.
        self.norm1 = nn.LayerNorm(embed_dims, eps=1e-5)
        self.attn = ShiftWindowAttention(embed_dims, num_heads, posmlp_dims)
        self.norm2 = nn.LayerNorm(embed_dims, eps=1e-5)
        dropout_layer = dict(type='DropPath', drop_prob=drop_path)
        self.ffn = FFN(
            embed_dims, 4 * embed_dims, act_cfg=dict(type='GELU'), dropout_layer=dropout_layer
        )
        self.drop_path = self.ffn.dropout_layer

    def forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        """(B, H, W, C) -> the same shape."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, layout, use_reentrant=False)
        return self._forward(x, layout)

    def _forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), layout))
        return self.ffn(self.norm2(x), identity=x)


class UMMAEDownsample(BaseModule):
    """Halve a map at the entry of a stage: LayerNorm, then a 2x2 convolution with bias.

    A side of odd length is filled up with zeros (UM-MAE never meets one).
    """

    def __init__(self, in_dims: int, out_dims: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dims, eps=1e-6)
        self.proj = nn.Conv2d(in_dims, out_dims, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), 2C)."""
        x = self.norm(x)
        rows, cols = x.shape[1:3]
        if rows % 2 or cols % 2:
            x = F.pad(x, (0, 0, 0, cols % 2, 0, rows % 2))
        return self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
