"""UM-MAE's Swin: position MLP instead of a bias table, convolution as patch merging."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.architectures import UMMAE_SWIN as ARCHITECTURES
from mim_bench.models.layers.patches import PatchConv, PatchEmbed
from mim_bench.models.layers.pyramid import (
    UMMAE_EPS,
    PyramidBlock,
    UMMAEDownsample,
    UMMAEPyramid,
    UMMAEStage,
    drop_path_rates,
    read_architecture,
)
from mim_bench.models.layers.windows import (
    MapLayout,
    ShiftedWindows,
    attend_in_windows,
    fit_windows,
    offset_index,
)
from mim_bench.registry import MODELS


@dataclass(frozen=True)
class OffsetLayout(MapLayout):
    """Windows of a stage, and offsets between their tokens, into which ``index`` points.

    Attributes:
        offsets: (T, 2) float32, the offsets (key - query) that can occur, in token units.
    """

    offsets: torch.Tensor


class PositionMLP(nn.Sequential):
    """MLP that computes the attention bias from the offset between two tokens.

    f = sign(d) * ln(1 + |d|) for each axis, then Linear - ReLU - Linear. The layers are
    1x1 convolutions so that the official weights fit as they are.

    Args:
        hidden_dims: Width of the hidden layer.
        num_heads: Width of the output.

    Source: UM-MAE's official Swin (``posmlp``). Differs: evaluated once on every offset
    that can occur and looked up, instead of on every pair of tokens.
    """

    def __init__(self, hidden_dims: int, num_heads: int) -> None:
        super().__init__(PatchConv(2, hidden_dims), nn.ReLU(), PatchConv(hidden_dims, num_heads))

    def forward(self, offsets: torch.Tensor) -> torch.Tensor:
        """Biases (T, heads) of offsets (T, 2) in token units."""
        return super().forward(offsets.sign() * offsets.abs().log1p())


class OffsetAttention(BaseModule):
    """Self-attention inside windows with the position MLP as bias.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        posmlp_dims: Hidden width of the position MLP.
    """

    def __init__(self, embed_dims: int, num_heads: int, posmlp_dims: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)
        self.posmlp = PositionMLP(posmlp_dims, num_heads)

    def forward(self, x: torch.Tensor, layout: OffsetLayout) -> torch.Tensor:
        """Compute the attention of (B, windows, tokens, C); the shape stays."""
        bias = layout.bias(self.posmlp(layout.offsets))
        return self.proj(attend_in_windows(self.qkv(x), bias))


@MODELS.register_module()
class UMMAESwin(UMMAEPyramid):
    """UM-MAE's Swin for full images, of any size.

    Maps that the windows do not divide are padded, and the padding is masked.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths,
            num_heads, posmlp_dims.
        window_size: Side of a window on the full map in tokens (16 in the paper's
            fine-tuning; pre-training on the compact map uses half of it).
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the input.
        out_indices: Stages to return; the last by default.
        final_norm: LayerNorm on the last stage. Pre-training has it; fine-tuning and
            dense tasks start without.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        frozen_stages: Freeze the patch embedding (>= 0) and the first n stages; the
            number of stages freezes everything.
        with_cp: Recompute activations in the backward pass.
        init_cfg: Initialisation of mmengine.

    Source: UM-MAE, arXiv:2205.10063, official Swin for classification and detection.
    Differs: windows never exceed the map along either side, padding is masked.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset({'arch', 'patch_size', 'in_channels'})

    def __init__(
        self,
        arch: str | dict = 'tiny',
        *,
        window_size: int = 16,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        final_norm: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        sizes = read_architecture(arch, ARCHITECTURES, tuple(ARCHITECTURES['tiny']), 'UMMAESwin')
        dims = [sizes['embed_dims'] * 2**i for i in range(len(sizes['depths']))]
        stages = []
        for i, rates in enumerate(drop_path_rates(drop_path_rate, sizes['depths'])):
            shape = (dims[i], sizes['num_heads'][i], sizes['posmlp_dims'])
            blocks = [
                PyramidBlock(
                    dims[i],
                    ShiftedWindows(OffsetAttention(*shape), shifted=b % 2 == 1),
                    drop_path=rate,
                    with_cp=with_cp,
                )
                for b, rate in enumerate(rates)
            ]
            stages.append(UMMAEStage(UMMAEDownsample(dims[i - 1], dims[i]) if i else None, blocks))
        super().__init__(
            PatchEmbed(in_channels, dims[0], (patch_size,) * 2, norm_eps=UMMAE_EPS),
            stages,
            patch_size=patch_size,
            stage_dims=dims,
            out_indices=out_indices,
            final_norm=final_norm,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
        )
        self.window_size = window_size
        self.freeze()

    def stage_context(
        self,
        stage: int,
        grid: tuple[int, int],
        places: torch.Tensor | None,
        device: torch.device,
    ) -> tuple[OffsetLayout, OffsetLayout]:
        """The windows without and with shift; all images share the offsets of tokens."""
        layouts = []
        for shifted in (False, True):
            windows = fit_windows(grid, self.window_size, shifted)
            layouts.append(
                OffsetLayout(
                    windows,
                    # First, since its error on an empty map has a remedy (engine/boundary.py).
                    offsets=offset_table(windows.size, device),
                    index=offset_index(windows.size, windows.size, device)[None, None],
                    separation=windows.separation(device, of_padding=True),
                )
            )
        return tuple(layouts)


def offset_table(reach: tuple[int, int], device: torch.device, unit: float = 1.0) -> torch.Tensor:
    """All offsets below ``reach`` (h, w), row by row: ((2h - 1)(2w - 1), 2) float32.

    They are given in steps of ``unit`` and numbered as by
    :func:`~mim_bench.models.layers.windows.offset_index`.
    """
    rows, cols = (torch.arange(1 - side, side, device=device) * unit for side in reach)
    return torch.cartesian_prod(rows, cols).float()
