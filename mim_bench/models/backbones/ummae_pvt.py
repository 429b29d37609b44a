"""UM-MAE's PVT: attention over average-pooled keys and values, positions at the first stage."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import nn
from torch.nn import functional as F

from mim_bench.architectures import UMMAE_PVT as ARCHITECTURES
from mim_bench.conversion.resizing.position_embedding import resize_position_embedding
from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.models.layers.patches import PatchConv, PatchEmbed
from mim_bench.models.layers.pyramid import (
    PyramidBlock,
    UMMAEDownsample,
    UMMAEPyramid,
    UMMAEStage,
    drop_path_rates,
    read_architecture,
)
from mim_bench.registry import MODELS


class PooledAttention(BaseModule):
    """Multi-head self-attention whose keys and values come from an average-pooled map.

    The pooling has no weights, so its ratio may change between pre-training and fine-tuning.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
    """

    def __init__(self, embed_dims: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.q = nn.Linear(embed_dims, embed_dims)
        self.sr = PatchConv(embed_dims, embed_dims)
        self.norm = nn.LayerNorm(embed_dims, eps=1e-5)
        self.kv = nn.Linear(embed_dims, 2 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: torch.Tensor, ratio: int) -> torch.Tensor:
        """Compute the attention.

        Args:
            x: (B, rows, cols, C).
            ratio: Side in tokens of the squares that are pooled to one key and value.

        Returns:
            (B, rows, cols, C).
        """
        pooled = x
        if ratio > 1:
            # If the ratio does not divide a side, the last squares have fewer tokens.
            pooled = F.avg_pool2d(x.permute(0, 3, 1, 2), ratio, ceil_mode=True).permute(0, 2, 3, 1)
        kv = self.kv(self.norm(self.sr(pooled))).flatten(1, 2)
        # (B, tokens, 2 C) -> keys and values, each (B, heads, tokens, C / heads)
        keys, values = kv.unflatten(2, (2, self.num_heads, -1)).permute(2, 0, 3, 1, 4)
        queries = self.q(x).flatten(1, 2).unflatten(2, (self.num_heads, -1)).transpose(1, 2)
        attended = F.scaled_dot_product_attention(queries, keys, values)
        return self.proj(attended.transpose(1, 2).reshape(x.shape))


@MODELS.register_module()
class UMMAEPvt(UMMAEPyramid):
    """UM-MAE's PVT for full images, of any size.

    Args:
        arch: 'small', or a dict with embed_dims, depths, num_heads, mlp_ratios, each with an
            entry a stage.
        sr_ratios: Pooling ratio of each stage on the full map.
        img_size: Side in pixels of the images that the table of positions is for. The table is
            resized for other images, and when weights of another size are loaded (then
            ``resized_keys`` names it).
        learnable_positions: Train the table (pre-training keeps it fixed).
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the input.
        out_indices: Stages to return; the last by default.
        final_norm: LayerNorm on the last stage.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        frozen_stages: Freeze patch and position embedding (>= 0) and the first n stages; the
            number of stages freezes everything.
        with_cp: Recompute activations in the backward pass.
        init_cfg: Initialisation of mmengine.

    Source: UM-MAE, arXiv:2205.10063, official PVT for classification and segmentation.
    Differs: any image size; a learnable table starts as sines and cosines too
    (inferred: fine-tuning starts from the pre-trained table, which is that one).
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {'arch', 'sr_ratios', 'patch_size', 'in_channels'}
    )

    def __init__(
        self,
        arch: str | dict = 'small',
        *,
        sr_ratios: Sequence[int] = (8, 4, 2, 1),
        img_size: int = 256,
        learnable_positions: bool = True,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        final_norm: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        sizes = read_architecture(arch, ARCHITECTURES, tuple(ARCHITECTURES['small']), 'UMMAEPvt')
        dims, stages = sizes['embed_dims'], []
        for i, rates in enumerate(drop_path_rates(drop_path_rate, sizes['depths'])):
            blocks = [
                PyramidBlock(
                    dims[i],
                    PooledAttention(dims[i], sizes['num_heads'][i]),
                    mlp_ratio=sizes['mlp_ratios'][i],
                    drop_path=rate,
                    with_cp=with_cp,
                )
                for rate in rates
            ]
            downsample = UMMAEDownsample(dims[i - 1], dims[i], norm=False) if i else None
            stages.append(UMMAEStage(downsample, blocks))
        super().__init__(
            PatchEmbed(in_channels, dims[0], (patch_size,) * 2),
            stages,
            patch_size=patch_size,
            stage_dims=dims,
            out_indices=out_indices,
            final_norm=final_norm,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
        )
        self.sr_ratios = tuple(sr_ratios)
        self.position_grid = (img_size // patch_size,) * 2
        table = sincos_position_embedding(self.position_grid, dims[0])
        self.pos_embed = nn.Parameter(table[None], requires_grad=learnable_positions)
        self.resized_keys: list[str] = []
        self.register_load_state_dict_pre_hook(_resize_loaded_positions)
        self.freeze()

    def add_positions(self, x: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        """Add the positions to a map (B, rows, cols, C); see :meth:`run_stages`."""
        _, rows, cols, width = x.shape
        if places is None:
            return x + self.positions((rows, cols)).reshape(1, rows, cols, width)
        # A compact map has half the rows and columns of the full one.
        table = self.positions((2 * rows, 2 * cols))
        return x + F.embedding(places[..., 0] * (2 * cols) + places[..., 1], table[0])

    def positions(self, grid: tuple[int, int]) -> torch.Tensor:
        """The table for a map: (1, rows * cols, C)."""
        return resize_position_embedding(self.pos_embed, grid, source_grid=self.position_grid)

    def stage_context(
        self,
        stage: int,
        grid: tuple[int, int],
        places: torch.Tensor | None,
        device: torch.device,
    ) -> int:
        """The pooling ratio of the stage."""
        return self.sr_ratios[stage]

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The parts that every pyramid freezes, and the positions."""
        yield self.pos_embed
        yield from super().frozen_parts()


def _resize_loaded_positions(
    backbone: UMMAEPvt, state: dict[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Resize the position table of a checkpoint, which is of a square map, to the network's."""
    backbone.resized_keys = []
    table, own = state.get(f'{prefix}pos_embed'), backbone.pos_embed
    # A table of another width is left to torch, which reports it.
    if table is None or table.shape == own.shape or table.shape[2:] != own.shape[2:]:
        return
    state[f'{prefix}pos_embed'] = resize_position_embedding(table, backbone.position_grid)
    backbone.resized_keys.append('pos_embed')
