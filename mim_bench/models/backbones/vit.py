"""Vision transformers: MAE's and BEiT's, with windows for dense tasks."""

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from timm.layers import calculate_drop_path_rates
from torch import nn

from mim_bench.architectures import VIT as ARCHITECTURES
from mim_bench.architectures import VIT_KEYS as ARCHITECTURE_KEYS
from mim_bench.conversion.resizing.position_embedding import resize_position_embedding
from mim_bench.conversion.resizing.relative_bias import check_interpolation
from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.errors import ConfigError
from mim_bench.models.backbones.vit_loading import fit_loaded_weights, save_grid
from mim_bench.models.layers.base import Backbone, resolved_indices
from mim_bench.models.layers.patches import PatchEmbed, filled_up
from mim_bench.models.layers.pyramid import read_architecture
from mim_bench.models.layers.relative_bias import AxisTables, BiasTable, RelativePositionBias
from mim_bench.models.layers.stages import plain_stage
from mim_bench.models.layers.transformer import NORM_EPS, TransformerBlock, init_mae_weights
from mim_bench.models.layers.windows import Windows
from mim_bench.registry import MODELS

Grid = tuple[int, int]
Biases = tuple[torch.Tensor, ...]

CHOICES = {
    'out_type': ('raw', 'featmap', 'cls_token', 'avg_featmap'),
    'abs_pos': ('learned', 'zeros', 'fixed', 'none'),
    'rel_pos_bias': ('none', 'per_block', 'shared', 'decomposed'),
    'qkv_bias': ('full', 'qv', 'none'),
}
STD = 0.02


class ViTBlock(TransformerBlock):
    """A transformer block with optional window attention.

    Args:
        dims: Width of a token.
        num_heads: Heads.
        hidden_dims: Width of the MLP's hidden layer.
        window_size: Side of a window in tokens; 0: global attention.
        pad_windows: See :class:`ViT`.
        **kwargs: Arguments of :class:`TransformerBlock`.
    """

    def __init__(
        self,
        dims: int,
        num_heads: int,
        hidden_dims: int,
        *,
        window_size: int = 0,
        pad_windows: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(dims, num_heads, hidden_dims, **kwargs)
        self.window_size, self.pad_windows = window_size, pad_windows

    def shapes(self, grid: Grid) -> tuple[Grid, ...]:
        """The grids within which tokens of a map attend to each other.

        Windows at the right and lower border may be smaller, so at most
        four shapes occur, unless they are padded to whole windows.
        """
        if not self.window_size:
            return (grid,)
        rows, cols = (self._spans(side) for side in grid)
        return tuple((height, width) for *_, height in rows for *_, width in cols)

    def run(
        self,
        tokens: torch.Tensor,
        grid: Grid | None = None,
        biases: Biases | None = None,
        wanted: slice | None = None,
    ) -> torch.Tensor:
        """Run the block.

        Args:
            tokens: (B, prefix + rows * cols, C); attention in windows leaves out the prefix,
                which passes through the block unchanged.
            grid: (rows, cols); windows and a table of the block's own need it.
            biases: Biases of a shared table, for :meth:`shapes`.
            wanted: Slice of the tokens to return; all if None. Not with windows.
        """
        if not self.window_size:
            return super().run(tokens, biases[0] if biases else None, wanted, grid)
        num_prefix = tokens.shape[1] - grid[0] * grid[1]
        prefix, patches = tokens[:, :num_prefix], tokens[:, num_prefix:]
        attended = self._attend_in_windows(self.ln1(patches).unflatten(1, grid), biases)
        patches = self.feed_forward(patches + self.scaled(attended.flatten(1, 2), self.gamma_1))
        return torch.cat((prefix, patches), dim=1) if num_prefix else patches

    def _attend_in_windows(self, maps: torch.Tensor, biases: Biases | None) -> torch.Tensor:
        """Attention within windows of a map (B, rows, cols, C); the shape stays."""
        rows, cols = (self._spans(side) for side in maps.shape[1:3])
        left = iter(biases or (None,) * (len(rows) * len(cols)))
        strips = []
        for top, bottom, height in rows:
            parts = []
            for start, end, width in cols:
                windows = Windows((bottom - top, end - start), (height, width))
                x = windows.cut(maps[:, top:bottom, start:end])  # (B, windows, tokens, C)
                attended = self.attn(x.flatten(0, 1), next(left), None, (height, width))
                parts.append(windows.join(attended.unflatten(0, x.shape[:2])))
            strips.append(torch.cat(parts, dim=2) if len(parts) > 1 else parts[0])
        return torch.cat(strips, dim=1) if len(strips) > 1 else strips[0]

    def _spans(self, side: int) -> list[tuple[int, int, int]]:
        """Parts of a side that have windows of one length: (from, to, length)."""
        if self.pad_windows:
            return [(0, side, self.window_size)]
        whole = side - side % self.window_size
        parts = [(0, whole, self.window_size), (whole, side, side - whole)]
        return [part for part in parts if part[0] < part[1]]


@MODELS.register_module()
class ViT(Backbone):
    """The plain transformer of MAE (absolute positions) and of BEiT (relative positions).

    State-dict keys are those of mmpretrain's ``VisionTransformer`` and ``BEiTViT``, without
    index buffers. Tables of other sizes are resized when weights are loaded, and then listed
    in ``resized_keys``. Images may have any size: they are padded with zeros at
    the right and at the bottom to whole patches, and positions are fitted to their grid. Several
    maps have a stride of :func:`~mim_bench.models.layers.stages.plain_stage`.

    Blocks after the last of ``out_indices`` are kept and frozen, but not computed.

    Args:
        arch: 'tiny', 'small', 'base', 'large' or 'huge' of MAE and DeiT, or a dict
            with ``embed_dims``, ``num_layers``, ``num_heads``, ``feedforward_channels``.
        img_size: Side, or (height, width), in pixels that the tables of positions are for.
        bias_img_size: The same for tables of relative positions; None: ``img_size``.
        patch_size: Side, or (height, width), of a patch in pixels.
        in_channels: Channels of the images.
        out_indices: Blocks to return the output of; negative ones count from the last.
        out_type: 'raw' (tokens, class token first), 'featmap', 'cls_token' or 'avg_featmap'
            (mean of the patches, after a norm ``ln2`` of its own).
        final_norm: Put a norm ``ln1`` after the last block.
        norm_taps: Apply that norm to each output of ``out_indices``, as iBOT's dense tasks do; the
            next block still gets the tokens before the norm.
        abs_pos: Absolute positions: 'learned', 'zeros' (learned, initially 0 if a file has none),
            'fixed' (sines and cosines) or 'none'.
        rel_pos_bias: Tables of relative positions: 'none', 'per_block', 'shared' or 'decomposed'
            (MViTv2's and ViTDet's: for rows and for columns in each block, multiplied with the
            queries). With windows, 'shared' has one table for the windows and one for the grid.
        qkv_bias: 'full', 'qv' (BEiT's: none for the keys) or 'none'.
        layer_scale: Initial value of the layer scale; None: no layer scale.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        window_size: Side of the attention windows in tokens; 0: every block is global.
        pad_windows: Pad the map to whole windows with zeros after the norm, which take part in
            the attention, as in ViTDet. Otherwise windows at the border are smaller.
        global_blocks: Blocks with global attention where ``window_size`` is not 0.
        with_cls_token: None: only without windows. With both, the class token takes part in
            the global blocks and passes through the others.
        bias_interpolation: How tables fit other grids: 'geometric' (BEiT's), 'bicubic' or
            'bilinear' (transformers', of its files alone);
            None: bicubic with windows, as Benchmarking-ViT does, else geometric.
        checkpoint_grid: (rows, cols) of the tables in files to be loaded, if the file does not
            state it and it is neither square nor that of ``img_size``.
        recompute_positions: Recompute a loaded table of sines and cosines for the grid of
            ``img_size`` instead of interpolating it bicubically.
        pos_resize: How the source of the weights fits absolute positions to other grids:
            ``antialias``, ``offset`` or ``recompute_sincos`` of
            :func:`~mim_bench.conversion.resizing.position_embedding.resize_position_embedding`.
        norm_eps: Epsilon of all norms.
        pixels: ``mean`` and ``std``, from 0 to 1, of the images that the weights were trained on,
            for :func:`mim_bench.recipe.building.normalised_as_trained`; None: ImageNet's.
        frozen_stages: Freeze patch embedding, class token and absolute positions (>= 0) and
            the first n blocks; the number of blocks freezes everything.
        with_cp: Recompute the blocks in the backward pass to save memory.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: An argument is unknown or contradicts another.

    Source: MAE, arXiv:2111.06377; BEiT, arXiv:2106.08254; windows: Benchmarking-ViT,
    arXiv:2111.11429, whose windows divide the map; ViTDet, arXiv:2203.16527; ``norm_taps``: iBOT,
    arXiv:2111.07832. Differs: drop path acts once a branch, where mmpretrain's ``BEiTViT`` drops
    the MLP twice.
    """

    FIXED_BY_CHECKPOINT: ClassVar[frozenset[str]] = frozenset(
        (
            'arch', 'patch_size', 'in_channels', 'abs_pos=learned', 'abs_pos=zeros', 'abs_pos=none',
            'rel_pos_bias=none', 'rel_pos_bias=per_block', 'qkv_bias', 'layer_scale',
            'with_cls_token', 'checkpoint_grid', 'pos_resize', 'norm_eps', 'pixels',
            'bias_interpolation=bilinear',
        )
    )  # fmt: skip

    # Of pre-trainings, of tables that are computed or spread, and of norms behind the last block.
    SPARE = (
        r'(?:cls|dist|mask|vis_mask)_token|ln[12]\..+|(?:window_)?rel_pos_bias\..+|'
        r'proj_(?:weights|layers\..+)'
    )

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        img_size: int | Sequence[int] = 224,
        bias_img_size: int | Sequence[int] | None = None,
        patch_size: int | Sequence[int] = 16,
        in_channels: int = 3,
        out_indices: int | Sequence[int] = -1,
        out_type: str = 'featmap',
        final_norm: bool = True,
        norm_taps: bool = False,
        abs_pos: str = 'learned',
        rel_pos_bias: str = 'none',
        qkv_bias: str = 'full',
        layer_scale: float | None = None,
        drop_path_rate: float = 0.0,
        window_size: int = 0,
        pad_windows: bool = False,
        global_blocks: Sequence[int] = (),
        with_cls_token: bool | None = None,
        bias_interpolation: str | None = None,
        checkpoint_grid: Sequence[int] | None = None,
        recompute_positions: bool = False,
        pos_resize: dict | None = None,
        norm_eps: float = NORM_EPS,
        pixels: dict | None = None,
        frozen_stages: int = -1,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        sizes = read_architecture(arch, ARCHITECTURES, ARCHITECTURE_KEYS, type(self).__name__)
        dims, self.num_layers, num_heads, hidden_dims = (sizes[key] for key in ARCHITECTURE_KEYS)
        with_cls_token = not window_size if with_cls_token is None else with_cls_token
        self.embed_dims, self.patch_size = dims, self._pair(patch_size)
        self.grid = self._grid_of(img_size)
        bias_grid = self.grid if bias_img_size is None else self._grid_of(bias_img_size)
        self.num_prefix_tokens = int(with_cls_token)
        self.num_extra_tokens = self.num_prefix_tokens  # mmpretrain's name, which probes read
        self.out_indices = self._blocks(out_indices, 'out_indices')
        self.out_type, self.abs_pos, self.qkv_bias = out_type, abs_pos, qkv_bias
        self.num_outputs = self.num_layers
        self.out_channels = (dims,) * len(self.out_indices)
        self.stage = plain_stage(dims, self.patch_size[0], alone=len(self.out_indices) == 1)
        self.strides = (self.stage.stride,) * len(self.out_indices)
        self.rel_pos_bias_kind, self.frozen_stages = rel_pos_bias, frozen_stages
        self.checkpoint_grid = None if checkpoint_grid is None else tuple(checkpoint_grid)
        self.recompute_positions, self.pos_resize = recompute_positions, dict(pos_resize or {})
        self.norm_taps = norm_taps
        self.resized_keys: list[str] = []
        interpolation = bias_interpolation or ('bicubic' if window_size else 'geometric')
        self._check_choices(interpolation, final_norm)
        if rel_pos_bias == 'decomposed' and window_size and not pad_windows:
            raise ConfigError(
                f"{type(self).__name__}: rel_pos_bias='decomposed' has one table an axis for all "
                'windows, but those at the border are smaller. Set pad_windows=True.'
            )

        self.patch_embed = PatchEmbed(in_channels, dims, self.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dims)) if with_cls_token else None
        self.pos_embed = None
        if abs_pos != 'none':
            table = torch.zeros(1, self.num_prefix_tokens + math.prod(self.grid), dims)
            self.pos_embed = nn.Parameter(table, requires_grad=abs_pos != 'fixed')

        is_global = set(self._blocks(global_blocks, 'global_blocks'))
        if not window_size:
            is_global = set(range(self.num_layers))
        of_map = BiasTable(bias_grid, bool(with_cls_token), interpolation)
        of_window = BiasTable((window_size, window_size), False, interpolation)
        own_tables = {
            'per_block': (of_window, of_map),
            'decomposed': (AxisTables(of_window.grid), AxisTables(of_map.grid)),
        }.get(rel_pos_bias, (None, None))
        self.layers = nn.ModuleList(
            ViTBlock(
                dims,
                num_heads,
                hidden_dims,
                window_size=0 if i in is_global else window_size,
                pad_windows=pad_windows,
                qkv_bias=qkv_bias,
                layer_scale=layer_scale,
                drop_path=rate,
                bias=own_tables[i in is_global],
                with_cp=with_cp,
                norm_eps=norm_eps,
            )
            for i, rate in enumerate(calculate_drop_path_rates(drop_path_rate, self.num_layers))
        )
        self.rel_pos_bias = self.window_rel_pos_bias = None
        if rel_pos_bias == 'shared' and is_global:
            self.rel_pos_bias = RelativePositionBias(num_heads, of_map)
        if rel_pos_bias == 'shared' and len(is_global) < self.num_layers:
            self.window_rel_pos_bias = RelativePositionBias(num_heads, of_window)
        self.ln1 = nn.LayerNorm(dims, eps=norm_eps) if final_norm else None
        self.ln2 = nn.LayerNorm(dims, eps=norm_eps) if out_type == 'avg_featmap' else None

        self.register_state_dict_post_hook(save_grid)
        self.register_load_state_dict_pre_hook(fit_loaded_weights)
        self._init_positions()
        self.freeze_behind(self._num_trained_blocks())
        self.freeze()

    def _pair(self, size: int | Sequence[int]) -> tuple[int, int]:
        sides = (size, size) if isinstance(size, int) else tuple(size)
        if len(sides) != 2:
            raise ConfigError(
                f'{type(self).__name__}: the size {size} must be one side, or (height, width).'
            )
        return sides

    def _grid_of(self, size: int | Sequence[int]) -> Grid:
        sides = zip(self._pair(size), self.patch_size, strict=True)
        rows, cols = (-(-side // patch) for side, patch in sides)
        return rows, cols

    def _blocks(self, indices: int | Sequence[int], name: str) -> tuple[int, ...]:
        return resolved_indices(type(self).__name__, name, indices, self.num_layers)

    def _check_choices(self, interpolation: str, final_norm: bool) -> None:
        check_interpolation(interpolation)
        given = (self.out_type, self.abs_pos, self.rel_pos_bias_kind, self.qkv_bias)
        for (name, choices), value in zip(CHOICES.items(), given, strict=True):
            if value not in choices:
                raise ConfigError(
                    f'{type(self).__name__}: unknown {name} {value!r}. Known: {", ".join(choices)}.'
                )
        if self.norm_taps and not final_norm:
            raise ConfigError(
                f'{type(self).__name__}: norm_taps=True applies the final norm to every tap, but '
                'final_norm=False. Set final_norm=True.'
            )
        if self.out_type == 'cls_token' and not self.num_prefix_tokens:
            raise ConfigError(
                f"{type(self).__name__}: out_type='cls_token', but there is no class token (with "
                'windows there is one only if with_cls_token=True). Set it, or '
                "out_type='avg_featmap'."
            )

    def _num_trained_blocks(self) -> int:
        return max(self.out_indices) + 1

    def freeze_behind(self, depth: int) -> None:
        """Freeze parameters that no output depends on, which DDP would wait for."""
        unused = [*self.layers[depth:]]
        if unused and self.ln1 is not None and not self.norm_taps:
            unused.append(self.ln1)
        used = {bool(layer.window_size) for layer in self.layers[:depth]}
        tables = ((False, self.rel_pos_bias), (True, self.window_rel_pos_bias))
        unused += [table for kind, table in tables if table is not None and kind not in used]
        for module in unused:
            module.requires_grad_(False)

    def init_own_weights(self) -> None:
        """Initialise as MAE, or as BEiT with relative positions.

        Source: MAE, arXiv:2111.06377, official ``models_mae.py``; BEiT, arXiv:2106.08254,
        official ``modeling_finetune.py``.
        """
        self._init_positions()
        if self.rel_pos_bias_kind in ('none', 'decomposed'):
            self.apply(init_mae_weights)
            nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))
            if self.cls_token is not None:
                nn.init.normal_(self.cls_token, std=STD)
        else:
            self.init_beit_weights()

    def init_beit_weights(self, bound: float = 2.0) -> None:
        """Truncated normal weights, those of deeper projections smaller; tables stay zero.

        Args:
            bound: Bound at which the normal distribution of deviation 0.02 is truncated.
        """
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=STD, a=-bound, b=bound)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.cls_token is not None:
            nn.init.trunc_normal_(self.cls_token, std=STD, a=-bound, b=bound)
        for depth, layer in enumerate(self.layers, start=1):
            for linear in (layer.attn.proj, layer.ffn.layers[1]):
                linear.weight.data /= math.sqrt(2 * depth)

    def _init_positions(self) -> None:
        if self.abs_pos == 'learned':
            nn.init.trunc_normal_(self.pos_embed, std=STD)
        elif self.abs_pos != 'none':
            self.pos_embed.data.zero_()  # the class token has no position
        if self.abs_pos == 'fixed':
            table = sincos_position_embedding(self.grid, self.embed_dims)
            self.pos_embed.data[0, self.num_prefix_tokens :] = table

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Compute features.

        Args:
            x: Images (B, C, H, W) of any size.

        Returns:
            One for each of ``out_indices``: (B, 1 + L, C), (B, C, rows, cols) or (B, C), as
            ``out_type`` says.
        """
        tokens, grid = self.embed_patches(x)
        outs = self.run_blocks(self.with_positions(tokens, grid), grid, self.out_indices)
        return tuple(self._format_output(out, grid) for out in outs)

    def embed_patches(self, images: torch.Tensor) -> tuple[torch.Tensor, Grid]:
        """Embed images to patches (B, rows * cols, C), without positions; also returns the grid."""
        tokens = self.patch_embed(filled_up(images, self.patch_size))
        return tokens.flatten(1, 2), tuple(tokens.shape[1:3])

    def with_positions(self, patches: torch.Tensor, grid: Grid) -> torch.Tensor:
        """Tokens for the first block, (B, prefix + rows * cols, C), with positions."""
        if self.cls_token is not None:
            # Under autocast the patches have half precision, the tokens single.
            patches = torch.cat((self.cls_token.expand(len(patches), -1, -1), patches), dim=1)
        return patches if self.pos_embed is None else patches + self.positions(grid)

    def positions(self, grid: Grid) -> torch.Tensor:
        """Absolute positions (1, prefix + rows * cols, C) of a grid, interpolated bicubically."""
        return resize_position_embedding(
            self.pos_embed,
            grid,
            num_prefix=self.num_prefix_tokens,
            source_grid=self.grid,
            **self.pos_resize,
        )

    def run_blocks(
        self,
        tokens: torch.Tensor,
        grid: Grid,
        taps: Sequence[int],
        wanted: slice | None = None,
    ) -> list[torch.Tensor]:
        """The tokens after some blocks, each (B, L, C), in the order of the blocks.

        Args:
            tokens: (B, L, C).
            grid: (rows, cols).
            taps: Blocks whose output is returned; later blocks are not computed.
            wanted: Slice of the tokens to return from the last tap; all if None.
        """
        depth, outs = max(taps) + 1, []
        shared = self.shared_biases(grid, depth)
        for i, layer in enumerate(self.layers[:depth]):
            last_wanted = wanted if i == depth - 1 else None
            tokens = layer(tokens, grid, shared.get(layer.window_size), last_wanted)
            if i in taps:
                is_normed = self.norm_taps or i == self.num_layers - 1
                outs.append(self.ln1(tokens) if self.ln1 is not None and is_normed else tokens)
        return outs

    def shared_biases(self, grid: Grid, depth: int) -> dict[int, Biases]:
        """Biases of the shared tables, by the window size of the blocks."""
        biases: dict[int, Biases] = {}
        for layer in self.layers[:depth]:
            table = self.window_rel_pos_bias if layer.window_size else self.rel_pos_bias
            if table is not None and layer.window_size not in biases:
                biases[layer.window_size] = table(layer.shapes(grid))
        return biases

    def _format_output(self, tokens: torch.Tensor, grid: Grid) -> torch.Tensor:
        if self.out_type == 'raw':
            return tokens
        if self.out_type == 'cls_token':
            return tokens[:, 0]
        patches = tokens[:, self.num_prefix_tokens :]
        if self.out_type == 'avg_featmap':
            return self.ln2(patches.mean(dim=1))
        size = [side * self.stage.own for side in grid]
        return self.stage.fitted(patches.unflatten(1, grid).permute(0, 3, 1, 2), size)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name in the model.
            prefix: Prefix of the backbone in the model, for example ``'backbone.'``.

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
