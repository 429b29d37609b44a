"""One vision transformer for classification and for dense tasks, in all three libraries."""

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.axis_weights import check_interpolation
from mim_bench.conversion.resizing.position_embedding import resize_position_embedding
from mim_bench.models.backbones.derived_table import DerivedTable
from mim_bench.models.backbones.frozen_stages import FreezableBackbone
from mim_bench.models.backbones.vit_bias import BiasExpansion, RelativePositionBias
from mim_bench.models.backbones.vit_blocks import NORM_EPS, BlockSettings, ViTBlock
from mim_bench.models.backbones.vit_init import init_beit_vit, init_mae_vit, init_positions
from mim_bench.models.backbones.vit_loading import fit_loaded_weights, save_grid
from mim_bench.models.backbones.vit_settings import (
    ARCHITECTURE_KEYS,
    ARCHITECTURES,
    block_indices,
    check_choices,
    pair,
)
from mim_bench.models.layers.patches import cut_patches
from mim_bench.models.layers.pyramid import PatchEmbed, read_architecture
from mim_bench.registry import MODELS


@MODELS.register_module()
class ViT(FreezableBackbone):
    """The plain transformer of MAE (absolute positions) and of BEiT (relative positions).

    State-dict keys are those of mmpretrain's ``VisionTransformer`` and ``BEiTViT``, without
    index buffers. Tables of other sizes are resized when weights are loaded; which ones stands
    in ``resized_keys`` afterwards. Images may have any size: they are filled up with zeros at
    the right and at the bottom to whole patches, and positions are fitted to their grid.

    Args:
        arch: 'tiny', 'small', 'base', 'large' or 'huge' as MAE and DeiT mean them, or a dict
            with ``embed_dims``, ``num_layers``, ``num_heads``, ``feedforward_channels``.
        img_size: Side, or (height, width), in pixels that the tables of positions are for.
        patch_size: Side, or (height, width), of a patch in pixels.
        in_channels: Channels of the images.
        out_indices: Blocks to return the output of; negative ones count from the last.
        out_type: 'raw' (tokens, class token first), 'featmap', 'cls_token' or 'avg_featmap'
            (mean of the patches, after a norm ``ln2`` of its own).
        final_norm: A norm ``ln1`` after the last block; earlier blocks are never normalised.
        abs_pos: Absolute positions: 'learned', 'zeros' (learned, from 0 on where a file has
            none), 'fixed' (sines and cosines) or 'none'.
        rel_pos_bias: Tables of relative positions: 'none', 'per_block' or 'shared'. With
            windows, 'shared' has one for the windows and one for the whole grid.
        qkv_bias: 'full', 'qv' (BEiT's: none for the keys) or 'none'.
        layer_scale: What the layer scale starts with; None: there is none.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        window_size: Side in tokens of the windows of attention; 0: every block is global.
        global_blocks: Blocks with global attention where ``window_size`` is not 0.
        with_cls_token: None: only without windows. With both, the class token takes part in
            the global blocks and passes through the others.
        bias_interpolation: How tables fit other grids: 'geometric' (BEiT's) or 'bicubic';
            None: bicubic with windows, as Benchmarking-ViT does, else geometric.
        checkpoint_grid: (rows, cols) of the tables in files to be loaded, where the file does
            not say it and it is neither square nor that of ``img_size``.
        recompute_positions: Compute a loaded table of sines and cosines for the grid of
            ``img_size``, where others are interpolated bicubically.
        frozen_stages: Freeze patch embedding, class token and absolute positions (>= 0) and
            the first n blocks; the number of blocks freezes everything.
        with_cp: Recompute the blocks in the backward pass to save memory.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: An argument is unknown or contradicts another.

    Source: MAE, arXiv:2111.06377; BEiT, arXiv:2106.08254; windows: Benchmarking-ViT,
    arXiv:2111.11429. Differs: windows at the border of a map that they do not divide hold no
    padding; drop path acts once a branch, where mmpretrain's ``BEiTViT`` drops the MLP twice.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        {
            'arch',
            'patch_size',
            'in_channels',
            'abs_pos=learned',
            'abs_pos=zeros',
            'abs_pos=none',
            'rel_pos_bias=none',
            'rel_pos_bias=per_block',
            'qkv_bias',
            'layer_scale',
            'with_cls_token',
            'checkpoint_grid',
        }
    )

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        img_size: int | Sequence[int] = 224,
        patch_size: int | Sequence[int] = 16,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'featmap',
        final_norm: bool = True,
        abs_pos: str = 'learned',
        rel_pos_bias: str = 'none',
        qkv_bias: str = 'full',
        layer_scale: float | None = None,
        drop_path_rate: float = 0.0,
        window_size: int = 0,
        global_blocks: Sequence[int] = (),
        with_cls_token: bool | None = None,
        bias_interpolation: str | None = None,
        checkpoint_grid: Sequence[int] | None = None,
        recompute_positions: bool = False,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = read_architecture(arch, ARCHITECTURES, ARCHITECTURE_KEYS, 'ViT')
        with_cls_token = not window_size if with_cls_token is None else with_cls_token
        check_choices(out_type, abs_pos, rel_pos_bias, qkv_bias, with_cls_token=with_cls_token)
        self.embed_dims, self.num_layers = sizes['embed_dims'], sizes['num_layers']
        self.patch_size = pair(patch_size)
        self.grid = tuple(-(-s // p) for s, p in zip(pair(img_size), self.patch_size, strict=True))
        self.num_prefix_tokens = int(with_cls_token)
        self.out_indices = block_indices(out_indices, self.num_layers, 'out_indices')
        self.out_type, self.abs_pos, self.qkv_bias = out_type, abs_pos, qkv_bias
        self.out_channels = (self.embed_dims,) * len(self.out_indices)
        self.strides = (self.patch_size[0],) * len(self.out_indices)
        self.rel_pos_bias_kind, self.frozen_stages = rel_pos_bias, frozen_stages
        self.checkpoint_grid = None if checkpoint_grid is None else tuple(checkpoint_grid)
        self.recompute_positions = recompute_positions
        self.resized_keys: list[str] = []

        self.patch_embed = PatchEmbed(in_channels, self.embed_dims, self.patch_size, norm_eps=None)
        self._add_embeddings(with_cls_token)
        interpolation = bias_interpolation or ('bicubic' if window_size else 'geometric')
        check_interpolation(interpolation)
        settings = BlockSettings(
            *(sizes[key] for key in ('embed_dims', 'num_heads', 'feedforward_channels')),
            qkv_bias=qkv_bias,
            layer_scale=layer_scale,
            with_cp=with_cp,
        )
        self._add_blocks(settings, interpolation, window_size, global_blocks, drop_path_rate)
        self.ln1 = nn.LayerNorm(self.embed_dims, eps=NORM_EPS) if final_norm else None
        has_mean = out_type == 'avg_featmap'
        self.ln2 = nn.LayerNorm(self.embed_dims, eps=NORM_EPS) if has_mean else None
        self.register_state_dict_post_hook(save_grid)
        self.register_load_state_dict_pre_hook(fit_loaded_weights)
        init_positions(self)
        self.freeze()

    def _add_embeddings(self, with_cls_token: bool) -> None:
        dims, num_patches = self.embed_dims, self.grid[0] * self.grid[1]
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims)) if with_cls_token else None
        self.pos_embed = None
        if self.abs_pos != 'none':
            table = torch.zeros(1, self.num_prefix_tokens + num_patches, dims)
            self.pos_embed = nn.Parameter(table, requires_grad=self.abs_pos != 'fixed')
        self.fitted_positions = DerivedTable()

    def _add_blocks(
        self,
        settings: BlockSettings,
        interpolation: str,
        window_size: int,
        global_blocks: Sequence[int],
        drop_path_rate: float,
    ) -> None:
        """Blocks, and the tables that they share."""
        is_global = set(block_indices(global_blocks, self.num_layers, 'global_blocks'))
        if not window_size:
            is_global = set(range(self.num_layers))

        def expansion(windowed: bool) -> BiasExpansion:
            return BiasExpansion(
                (window_size, window_size) if windowed else self.grid,
                class_rows=bool(self.num_prefix_tokens) and not windowed,
                interpolation=interpolation,
            )

        self.layers = nn.ModuleList()
        for i, rate in enumerate(np.linspace(0, drop_path_rate, self.num_layers)):
            windowed = i not in is_global
            own = settings.with_changes(
                window_size=window_size * windowed,
                bias=expansion(windowed) if self.rel_pos_bias_kind == 'per_block' else None,
                drop_path=float(rate),
            )
            self.layers.append(ViTBlock(own))
        self.rel_pos_bias = self.window_rel_pos_bias = None
        if self.rel_pos_bias_kind == 'shared':
            if is_global:
                self.rel_pos_bias = RelativePositionBias(settings.num_heads, expansion(False))
            if len(is_global) < self.num_layers:
                self.window_rel_pos_bias = RelativePositionBias(settings.num_heads, expansion(True))

    def init_weights(self) -> None:
        """As MAE, or as BEiT where there are relative positions."""
        super().init_weights()
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            return
        (init_mae_vit if self.rel_pos_bias_kind == 'none' else init_beit_vit)(self)
        init_positions(self)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features.

        Args:
            x: Images (B, C, H, W) of any size.

        Returns:
            One for each of ``out_indices``: (B, 1 + L, C), (B, C, rows, cols) or (B, C), as
            ``out_type`` says.
        """
        tokens, grid = self.embed(x)
        shared = self._shared_biases(grid)
        outs = []
        for i, layer in enumerate(self.layers):
            tokens = layer(tokens, grid, shared[bool(layer.window_size)])
            if i == self.num_layers - 1 and self.ln1 is not None:
                tokens = self.ln1(tokens)
            if i in self.out_indices:
                outs.append(self._format_output(tokens, grid))
        return tuple(outs)

    def embed(self, images: torch.Tensor) -> tuple[torch.Tensor, tuple[int, int]]:
        """What enters the first block: tokens (B, prefix + rows * cols, C), and the grid."""
        bottom, right = (-s % p for s, p in zip(images.shape[-2:], self.patch_size, strict=True))
        if bottom or right:
            images = F.pad(images, (0, right, 0, bottom))
        tokens = self.patch_embed(cut_patches(images, self.patch_size))
        grid = tuple(tokens.shape[1:3])
        tokens = tokens.flatten(1, 2)
        if self.cls_token is not None:
            # Under autocast the patches are of half precision, the tokens of single.
            tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        return tokens if self.pos_embed is None else tokens + self.positions(grid), grid

    def positions(self, grid: tuple[int, int]) -> torch.Tensor:
        """The absolute positions (1, prefix + rows * cols, C) of a grid, bicubic if another's."""
        if grid == self.grid:
            return self.pos_embed

        def resize() -> torch.Tensor:
            return resize_position_embedding(
                self.pos_embed,
                grid,
                num_prefix=self.num_prefix_tokens,
                source_grid=self.grid,
            )

        return self.fitted_positions((self.pos_embed,), grid, resize)

    def _shared_biases(self, grid: tuple[int, int]) -> list[tuple[torch.Tensor, ...] | None]:
        """Of the tables that blocks share: for global blocks, for those with windows."""
        biases: list[tuple[torch.Tensor, ...] | None] = [None, None]
        for layer in self.layers:
            windowed = bool(layer.window_size)
            table = self.window_rel_pos_bias if windowed else self.rel_pos_bias
            if table is not None and biases[windowed] is None:
                biases[windowed] = table(layer.shapes(grid))
        return biases

    def _format_output(self, tokens: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        if self.out_type == 'raw':
            return tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        patches = tokens[:, self.num_prefix_tokens :]
        if self.out_type == 'avg_featmap':
            return self.ln2(patches.mean(dim=1))
        return patches.unflatten(1, grid).permute(0, 3, 1, 2)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name in the model.
            prefix: Of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for patch embedding, class token and absolute positions, i + 1
            for block i and its table, blocks + 1 for the rest, shared tables included;
            layers = blocks + 2.

        Source: BEiT's and MAE's fine-tuning code.
        """
        num_layers = self.num_layers + 2
        parts = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix):
            return num_layers - 1, num_layers
        if parts[0] in ('patch_embed', 'cls_token', 'pos_embed'):
            return 0, num_layers
        return (int(parts[1]) + 1 if parts[0] == 'layers' else num_layers - 1), num_layers

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """Embeddings and the first blocks; with all blocks, the norms and shared tables too."""
        yield from (self.patch_embed, self.cls_token, self.pos_embed)
        yield from self.layers[: self.frozen_stages]
        if self.frozen_stages >= self.num_layers:
            yield from (self.ln1, self.ln2, self.rel_pos_bias, self.window_rel_pos_bias)
