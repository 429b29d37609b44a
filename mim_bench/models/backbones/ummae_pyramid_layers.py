"""The layers that pyramids over maps share: patches, UM-MAE's halving, blocks."""

import math
from collections.abc import Sequence

import torch
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.models.feed_forward import feed_forward
from mim_bench.models.mae_init import init_mae_weights


def init_ummae_weights(module: nn.Module) -> None:
    """UM-MAE's initialisation of one module; pass it to ``apply``.

    As MAE's; Conv2d: normal with standard deviation sqrt(2 / fan_out), bias 0.
    """
    init_mae_weights(module)
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
        nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
        nn.init.zeros_(module.bias)


class PatchEmbed(BaseModule):
    """Non-overlapping patches through one linear map, then LayerNorm where asked.

    The weights are a convolution's. It is applied to patch vectors, so that maps come out as
    (B, H, W, C) in memory, too, and single patches can be embedded.
    """

    def __init__(
        self,
        in_channels: int,
        embed_dims: int,
        patch_size: int,
        *,
        norm: bool = True,
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        self.projection = nn.Conv2d(in_channels, embed_dims, patch_size, stride=patch_size)
        self.norm = _norm(embed_dims, norm, norm_eps)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> (B, H // patch, W // patch, D); a rest at the border is left out."""
        b, c, h, w = images.shape
        p, q = self.projection.kernel_size
        images = images[..., : h - h % p, : w - w % q]
        patches = images.reshape(b, c, h // p, p, w // q, q).permute(0, 2, 4, 1, 3, 5)
        return self.embed(patches.flatten(3))

    def embed(self, patches: torch.Tensor) -> torch.Tensor:
        """Patch vectors (..., C * patch ** 2), laid out as the weights -> (..., D)."""
        weight = self.projection.weight.flatten(1)
        return self.norm(F.linear(patches, weight, self.projection.bias))


class UMMAEDownsample(BaseModule):
    """Halve a map at the entry of a stage: LayerNorm where asked, 2x2 convolution with bias.

    A side of odd length is filled up with zeros (UM-MAE never meets one).
    """

    def __init__(self, in_dims: int, out_dims: int, *, norm: bool = True) -> None:
        super().__init__()
        self.norm = _norm(in_dims, norm)
        self.proj = nn.Conv2d(in_dims, out_dims, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, H, W, C) -> (B, ceil(H / 2), ceil(W / 2), D)."""
        x = self.norm(x)
        rows, cols = x.shape[1:3]
        if rows % 2 or cols % 2:
            x = F.pad(x, (0, 0, 0, cols % 2, 0, rows % 2))
        return self.proj(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class PyramidBlock(BaseModule):
    """Pre-norm block: x + attention, then x + MLP.

    Args:
        embed_dims: Width of a token.
        attn: Called with a map (B, H, W, C) and what the stage hands to its blocks.
        mlp_ratio: Width of the MLP's hidden layer, in widths of a token.
        drop_path: Rate of stochastic depth.
        with_cp: Recompute the block's activations in the backward pass.
        norm_eps: Of both norms; the official blocks keep torch's, where UM-MAE's other norms
            have 1e-6.
    """

    def __init__(
        self,
        embed_dims: int,
        attn: nn.Module,
        *,
        mlp_ratio: int = 4,
        drop_path: float = 0.0,
        with_cp: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.attn = attn
        self.norm2 = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.ffn = FFN(
            embed_dims,
            mlp_ratio * embed_dims,
            act_cfg=dict(type='GELU'),
            dropout_layer=dict(type='DropPath', drop_prob=drop_path),
        )
        self.drop_path = self.ffn.dropout_layer

    def forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        """(B, H, W, C) -> the same shape."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, context, use_reentrant=False)
        return self._forward(x, context)

    def _forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), context))
        return x + feed_forward(self.ffn, self.norm2(x))


class PyramidStage(BaseModule):
    """A stage: the downsampling that opens it (none in the first), then its blocks."""

    def __init__(self, downsample: nn.Module | None, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Open the stage: (B, H, W, C) -> its own grid and width. The blocks come after."""
        return x if self.downsample is None else self.downsample(x)


def drop_path_rates(depths: Sequence[int], last_rate: float) -> list[list[float]]:
    """Stochastic depth of every block, by stage, growing linearly from 0 to ``last_rate``."""
    last, rates, first = max(sum(depths) - 1, 1), [], 0
    for depth in depths:
        rates.append([last_rate * g / last for g in range(first, first + depth)])
        first += depth
    return rates


def _norm(dims: int, wanted: bool, eps: float = 1e-6) -> nn.Module:
    return nn.LayerNorm(dims, eps=eps) if wanted else nn.Identity()
