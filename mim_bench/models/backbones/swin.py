"""The standard Swin for classification, segmentation and detection, on images of any size."""

import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.architectures import SWIN as ARCHITECTURES
from mim_bench.conversion.resizing.relative_bias import resize_relative_bias
from mim_bench.errors import ConfigError
from mim_bench.models.layers.base import refuse_others_loaded
from mim_bench.models.layers.patches import PatchEmbed, filled_up
from mim_bench.models.layers.pyramid import (
    Pyramid,
    PyramidBlock,
    cut_squares,
    drop_path_rates,
    read_architecture,
)
from mim_bench.models.layers.windows import (
    MapLayout,
    ShiftedWindows,
    WindowLayout,
    Windows,
    attend_in_windows,
    fit_windows,
    offset_index,
)
from mim_bench.registry import MODELS

TABLE = 'relative_position_bias_table'
# Buffers that other libraries save; they are computed from the sizes of windows and image.
DERIVED = re.compile(r'stages\.\d+\.blocks\.\d+\.attn\.(w_msa\.relative_position_index|attn_mask)')


class SwinWindowAttention(BaseModule):
    """Self-attention inside windows with a table of relative positions as bias.

    Args:
        embed_dims: Width of a token.
        num_heads: Heads.
        window_size: Side of a window in tokens; the table has (2 * window_size - 1) ** 2 rows.
    """

    def __init__(self, embed_dims: int, num_heads: int, window_size: int) -> None:
        super().__init__()
        table = torch.zeros((2 * window_size - 1) ** 2, num_heads)
        self.relative_position_bias_table = nn.Parameter(table)
        self.qkv = nn.Linear(embed_dims, 3 * embed_dims)
        self.proj = nn.Linear(embed_dims, embed_dims)

    def forward(self, x: torch.Tensor, layout: WindowLayout) -> torch.Tensor:
        """Compute the attention of (B, windows, tokens, C); the shape stays."""
        bias = layout.bias(self.relative_position_bias_table)
        return self.proj(attend_in_windows(self.qkv(x), bias))


class PatchMerging(BaseModule):
    """Merges four neighbours into one token of twice the width, in mmpretrain's channel order.

    Args:
        in_dims: Width of a token.
        norm_eps: Epsilon of the norm.
    """

    def __init__(self, in_dims: int, norm_eps: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * in_dims, eps=norm_eps)
        self.reduction = nn.Linear(4 * in_dims, 2 * in_dims, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Merge 2x2 tokens.

        Args:
            x: A map (B, rows, cols, C), padded with zeros to even sides, or tokens (B, N, C)
                of which four in a row are neighbours, row by row.

        Returns:
            (B, ceil(rows / 2), ceil(cols / 2), 2 C), or (B, N / 4, 2 C).
        """
        is_map = x.dim() == 4
        x = cut_squares(x) if is_map else x.unflatten(1, (-1, 4)).transpose(2, 3).flatten(2)
        return self.reduction(self.norm(x))


class SwinStage(BaseModule):
    """A stage of Swin: blocks, then (except in the last stage) the merging to the next stage."""

    def __init__(self, blocks: Sequence[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.downsample = downsample

    def forward(
        self, x: torch.Tensor, layouts: Sequence[WindowLayout]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens (B, ..., C) -> tokens after the blocks, and tokens after the merging."""
        for block in self.blocks:
            x = block(x, layouts)
        return x, x if self.downsample is None else self.downsample(x)


@MODELS.register_module()
class Swin(Pyramid):
    """The standard Swin, with the keys and, up to rounding, the results of mmpretrain and mmdet.

    Images are padded with zeros to whole patches and maps to whole windows, so any size
    works. Weights for other windows fit: their tables are resized as they are loaded, and
    ``resized_keys`` names them. Index buffers in a file are ignored.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths, num_heads.
        window_size: Side of the windows in tokens, one number or one for each stage.
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the input.
        out_indices: Stages to return; the last by default.
        out_norms: Put a LayerNorm ``norm{i}`` on each returned map: new ones for dense tasks, the
            last one for a classifier whose head has none.
        pad_small_map: Pad and shift also maps that one window covers, as mmdet and mmseg do.
            Otherwise nothing shifts there and windows shrink to the map, as in classification.
        mask_padding: Keep padding out of the attention. The official code and all three
            libraries let it take part, so published numbers do.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        frozen_stages: Freeze the patch embedding (>= 0) and the first n stages with their
            mergings and norms.
        with_cp: Recompute activations in the backward pass.
        norm_eps: Epsilon of every LayerNorm.
        norm2_eps: Epsilon of each block's norm before the MLP; ``norm_eps`` by default.
        init_cfg: Initialisation of mmengine, applied after that of the official code.

    Raises:
        ConfigError: The sizes do not fit together.

    Source: Swin, arXiv:2103.14030; names as in mmpretrain's ``SwinTransformer``.
    Differs: no absolute positions, and no dropout except stochastic depth.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {'arch', 'window_size', 'patch_size', 'in_channels', 'norm_eps', 'norm2_eps'}
    )

    SPARE = r'mask_token|norm\d*\..+'

    def __init__(
        self,
        arch: str | dict = 'tiny',
        *,
        window_size: int | Sequence[int] = 7,
        patch_size: int = 4,
        in_channels: int = 3,
        out_indices: Sequence[int] | None = None,
        out_norms: bool = False,
        pad_small_map: bool = False,
        mask_padding: bool = False,
        drop_path_rate: float = 0.0,
        frozen_stages: int = -1,
        with_cp: bool = False,
        norm_eps: float = 1e-5,
        norm2_eps: float | None = None,
        init_cfg: dict | list | None = None,
    ) -> None:
        sizes = read_architecture(arch, ARCHITECTURES, tuple(ARCHITECTURES['tiny']), 'Swin')
        dims, heads = _widths_and_heads(sizes)
        window_sizes = _window_sizes(window_size, len(dims))
        eps = dict(norm_eps=norm_eps, norm2_eps=norm_eps if norm2_eps is None else norm2_eps)
        rates = drop_path_rates(drop_path_rate, sizes['depths'])
        stages = []
        for i, width in enumerate(dims):
            blocks = [
                PyramidBlock(
                    width,
                    ShiftedWindows(
                        SwinWindowAttention(width, heads[i], window_sizes[i]), shifted=b % 2 == 1
                    ),
                    drop_path=rate,
                    with_cp=with_cp,
                    **eps,
                )
                for b, rate in enumerate(rates[i])
            ]
            merging = PatchMerging(width, norm_eps) if i < len(dims) - 1 else None
            stages.append(SwinStage(blocks, merging))
        super().__init__(
            PatchEmbed(in_channels, dims[0], (patch_size,) * 2, norm_eps=norm_eps),
            stages,
            patch_size=patch_size,
            stage_dims=dims,
            out_indices=out_indices,
            frozen_stages=frozen_stages,
            init_cfg=init_cfg,
        )
        self.window_sizes = window_sizes
        self.pad_small_map, self.mask_padding = pad_small_map, mask_padding
        for i in self.out_indices if out_norms else ():
            self.add_module(f'norm{i}', nn.LayerNorm(dims[i], eps=norm_eps))
        self.resized_keys: list[str] = []
        self.register_load_state_dict_pre_hook(_fit_loaded_state)
        self.freeze()

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of images.

        Args:
            x: Images (B, C, H, W) of any size.

        Returns:
            A map (B, C_i, H_i, W_i) for each stage of ``out_indices``; stage i has a token for
            each (also incomplete) square of ``patch_size * 2 ** i`` pixels.
        """
        return self.run_stages(self.patch_embed(filled_up(x, (self.patch_size,) * 2)))

    def run_stages(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the stages on a map (B, rows, cols, C); the maps of ``out_indices``."""
        outs = []
        for i, stage in enumerate(self.stages):
            out, x = stage(x, self.layouts(i, tuple(x.shape[1:3]), x.device))
            if i in self.out_indices:
                norm = getattr(self, f'norm{i}', None)
                outs.append((out if norm is None else norm(out)).permute(0, 3, 1, 2).contiguous())
        return tuple(outs)

    def layouts(
        self, stage: int, grid: tuple[int, int], device: torch.device
    ) -> tuple[MapLayout, MapLayout]:
        """The window layouts of a stage's map of (rows, cols), without and with shift."""
        size = self.window_sizes[stage]
        return tuple(
            MapLayout(
                windows,
                # query - key
                offset_index(windows.size, (size, size), device).t()[None, None],
                windows.separation(device, of_padding=self.mask_padding),
            )
            for windows in (self._windows(size, grid, shifted) for shifted in (False, True))
        )

    def _windows(self, size: int, grid: tuple[int, int], shifted: bool) -> Windows:
        if not self.pad_small_map:
            # If a window covers one side, neither side is shifted.
            return fit_windows(grid, size, shifted and min(grid) > size)
        shift = size // 2 if shifted else 0
        return Windows(grid, (size, size), (shift, shift))

    def init_own_weights(self) -> None:
        """Truncated normal of deviation 0.02 for linear layers and tables; biases zero.

        Source: Swin, arXiv:2103.14030, official ``_init_weights``.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        self.init_tables()

    def init_tables(self) -> None:
        """Truncated normal of deviation 0.02 for the tables of relative positions."""
        for name, parameter in self.named_parameters():
            if name.endswith(TABLE):
                nn.init.trunc_normal_(parameter, std=0.02)

    def _block_of_downsample(self, stage: int) -> int:
        """The stage's last block, as in SimMIM's and LocalMIM's fine-tuning and in mmpretrain."""
        return self.depths[stage] - 1

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The patch embedding, the first stages and the norms of their maps."""
        yield from super().frozen_parts()
        yield from (getattr(self, f'norm{i}', None) for i in range(self.frozen_stages))


def _widths_and_heads(sizes: dict) -> tuple[list[int], list[int]]:
    dims = [sizes['embed_dims'] * 2**i for i in range(len(sizes['depths']))]
    heads = list(sizes['num_heads'])
    if len(heads) != len(dims) or any(d % h for d, h in zip(dims, heads, strict=True)):
        raise ConfigError(
            f'Swin: stages of {dims} channels cannot have {heads} heads. Give num_heads one '
            'number for each stage, which divides its channels.'
        )
    return dims, heads


def _window_sizes(window_size: int | Sequence[int], num_stages: int) -> tuple[int, ...]:
    sizes = (window_size,) * num_stages if isinstance(window_size, int) else tuple(window_size)
    if len(sizes) != num_stages or min(sizes) < 1:
        raise ConfigError(
            f'Swin: window_size {window_size} for {num_stages} stages. Give one number of at '
            'least 1, or one for each stage.'
        )
    return sizes


def _fit_loaded_state(
    backbone: Swin, state: dict[str, torch.Tensor], prefix: str, *_: object
) -> None:
    """Resize tables for other windows and drop derived buffers, in place, before loading.

    Tables for another number of heads are left to torch, which reports their shape.

    Source of the interpolation: Swin's official loader (bicubic between windows).
    """
    backbone.resized_keys = []
    for name, parameter in backbone.named_parameters():
        table = state.get(prefix + name)
        if not name.endswith(TABLE) or table is None or table.shape[1:] != parameter.shape[1:]:
            continue
        if table.shape[0] != parameter.shape[0]:
            side = backbone.window_sizes[int(name.split('.')[1])]
            state[prefix + name] = resize_relative_bias(
                table, (side, side), interpolation='bicubic', class_rows=False
            )
            backbone.resized_keys.append(name)
    for key in [key for key in state if DERIVED.fullmatch(key.removeprefix(prefix))]:
        del state[key]
    refuse_others_loaded(backbone, state, prefix)
