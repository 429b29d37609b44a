"""Base classes and blocks of hierarchical backbones."""

import math
from collections.abc import Iterator, Sequence

import torch
from mmcv.cnn.bricks.drop import DropPath
from mmengine.model import BaseModule
from timm.layers.drop import calculate_drop_path_rates
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.errors import ConfigError
from mim_bench.models.layers.base import Backbone, refuse_others_loaded
from mim_bench.models.layers.patches import PatchConv, PatchEmbed
from mim_bench.models.layers.transformer import FeedForward, init_mae_weights

UMMAE_EPS = 1e-6  # of UM-MAE's norms outside blocks; those inside keep torch's 1e-5


def cut_squares(x: torch.Tensor) -> torch.Tensor:
    """Gather 2x2 neighbours of a map into vectors laid out as a convolution's weights.

    (B, rows, cols, C) -> (B, ceil(rows / 2), ceil(cols / 2), 4 C); a side of odd length is
    padded with zeros.
    """
    rows, cols = x.shape[1:3]
    if rows % 2 or cols % 2:
        x = F.pad(x, (0, 0, 0, cols % 2, 0, rows % 2))
    x = x.unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # (B, rows, 2, cols, 2, C)
    return x.permute(0, 1, 3, 5, 2, 4).flatten(3)


class PyramidBlock(BaseModule):
    """Pre-norm block: x + attention, then x + MLP.

    Args:
        embed_dims: Width of a token.
        attn: Attention module, called with tokens and the context of the stage.
        mlp_ratio: Width of the MLP's hidden layer, in widths of a token.
        drop_path: Rate of stochastic depth.
        with_cp: Recompute the block's activations in the backward pass.
        norm_eps: Epsilon of the norm before the attention.
        norm2_eps: Epsilon of the norm before the MLP.
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
        norm2_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.with_cp = with_cp
        self.norm1 = nn.LayerNorm(embed_dims, eps=norm_eps)
        self.attn = attn
        self.drop_path = DropPath(drop_path)
        self.norm2 = nn.LayerNorm(embed_dims, eps=norm2_eps)
        self.ffn = FeedForward(embed_dims, mlp_ratio * embed_dims, with_cp=with_cp)

    def forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        """Apply the block to tokens (B, ..., C) with the stage's context; the shape stays."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, context, use_reentrant=False)
        return self._forward(x, context)

    def _forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), context))
        return x + self.drop_path(self.ffn(self.norm2(x)))


class Pyramid(Backbone):
    """Base class of backbones whose stages halve the rows and columns of the map.

    Args:
        patch_embed: The patch embedding.
        stages: Stages with the attributes ``blocks`` and ``downsample``.
        patch_size: Side of a patch in pixels.
        stage_dims: Width of each stage.
        out_indices: Stages to return; the last by default.
        frozen_stages: Freeze the patch embedding (>= 0) and the first n stages.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``out_indices`` names a stage that does not exist.
    """

    def __init__(
        self,
        patch_embed: PatchEmbed,
        stages: Sequence[nn.Module],
        *,
        patch_size: int,
        stage_dims: Sequence[int],
        out_indices: Sequence[int] | None,
        frozen_stages: int,
        init_cfg: dict | list | None,
    ) -> None:
        super().__init__(init_cfg)
        last = len(stages) - 1
        self.out_indices = (last,) if out_indices is None else tuple(out_indices)
        if not set(self.out_indices) <= set(range(len(stages))):
            raise ConfigError(
                f'{type(self).__name__}: out_indices {self.out_indices} of {len(stages)} stages. '
                f'Name stages from 0 to {last}.'
            )
        self.patch_size, self.stage_dims = patch_size, list(stage_dims)
        self.num_outputs = len(stages)
        self.out_channels = tuple(self.stage_dims[i] for i in self.out_indices)
        self.strides = tuple(patch_size * 2**i for i in self.out_indices)
        self.frozen_stages = frozen_stages
        self.patch_embed = patch_embed
        self.stages = nn.ModuleList(stages)
        self.depths = tuple(len(stage.blocks) for stage in stages)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """The layer of a parameter for layer-wise learning-rate decay.

        Args:
            param_name: Name in the model.
            prefix: Prefix of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for patch and position embedding, g + 1 for block g of all, the
            layer of :meth:`_block_of_downsample` for a downsampling, blocks + 1 for the rest;
            layers = blocks + 2.
        """
        num_layers = sum(self.depths) + 2
        parts = param_name.removeprefix(prefix).split('.')
        if param_name.startswith(prefix) and parts[0] in ('patch_embed', 'pos_embed'):
            return 0, num_layers
        if not param_name.startswith(prefix) or parts[0] != 'stages':
            return num_layers - 1, num_layers
        stage = int(parts[1])
        block = int(parts[3]) if parts[2] == 'blocks' else self._block_of_downsample(stage)
        return sum(self.depths[:stage]) + block + 1, num_layers

    def _block_of_downsample(self, stage: int) -> int:
        """Index of the block whose layer decay the downsampling of a stage shares."""
        raise NotImplementedError

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The patch embedding and the first stages."""
        yield self.patch_embed
        yield from self.stages[: self.frozen_stages]


class UMMAEDownsample(BaseModule):
    """Halves a map at the entry of a stage: optional LayerNorm, 2x2 convolution with bias.

    A side of odd length is padded with zeros (it does not occur in UM-MAE).
    """

    def __init__(self, in_dims: int, out_dims: int, *, norm: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_dims, eps=UMMAE_EPS) if norm else nn.Identity()
        self.proj = PatchConv(in_dims, out_dims, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Downsample a map: (B, rows, cols, C) -> (B, ceil(rows / 2), ceil(cols / 2), D)."""
        return self.proj(cut_squares(self.norm(x)))


class UMMAEStage(BaseModule):
    """A stage: a downsampling (none in the first stage), then blocks."""

    def __init__(self, downsample: nn.Module | None, blocks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.downsample = downsample
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        """Map of the previous stage (B, rows, cols, C) -> map of this stage."""
        if self.downsample is not None:
            x = self.downsample(x)
        for block in self.blocks:
            x = block(x, context)
        return x


class UMMAEPyramid(Pyramid):
    """Base class of UM-MAE's Swin and PVT: stages begin with a 2x2 convolution; final norm.

    Args:
        patch_embed: The patch embedding.
        stages: Stages of the encoder.
        final_norm: Put a LayerNorm on the last stage. Pre-training does; fine-tuning and dense
            tasks do not.
        **kwargs: Arguments of :class:`Pyramid`; ``frozen_stages`` of all stages freezes everything.

    Source: UM-MAE, arXiv:2205.10063.
    """

    SPARE = r'(?:vis_)?mask_token|norm\..+'

    def __init__(
        self,
        patch_embed: PatchEmbed,
        stages: Sequence[UMMAEStage],
        *,
        final_norm: bool,
        **kwargs: object,
    ) -> None:
        super().__init__(patch_embed, stages, **kwargs)
        self.norm = nn.LayerNorm(self.stage_dims[-1], eps=UMMAE_EPS) if final_norm else None
        self.register_load_state_dict_pre_hook(refuse_others_loaded)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features of full images.

        Args:
            x: Images (B, C, H, W); incomplete patches at the border are dropped.

        Returns:
            A map (B, C_i, H_i, W_i) for each stage of ``out_indices``.
        """
        p = self.patch_size
        x = x[..., : x.shape[-2] // p * p, : x.shape[-1] // p * p]
        return self.run_stages(self.patch_embed(x))

    def run_stages(
        self, x: torch.Tensor, places: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """The maps of ``out_indices``, (B, C_i, rows, cols).

        Args:
            x: The map of the first stage, (B, rows, cols, C).
            places: (B, rows, cols, 2) int64, row and column of its tokens in the full image, on
                a compact map; None on the map of a full image.
        """
        x, grid, outs = self.add_positions(x, places), tuple(x.shape[1:3]), []
        for i, stage in enumerate(self.stages):
            if i:
                grid = (-(-grid[0] // 2), -(-grid[1] // 2))
                # The position of the first token of a 2x2 square stands for the square.
                places = None if places is None else places[:, ::2, ::2]
            x = stage(x, self.stage_context(i, grid, places, x.device))
            if i in self.out_indices:
                is_normed = self.norm is not None and i == len(self.stages) - 1
                out = self.norm(x) if is_normed else x
                outs.append(out.permute(0, 3, 1, 2).contiguous())
        return tuple(outs)

    def add_positions(self, x: torch.Tensor, places: torch.Tensor | None) -> torch.Tensor:
        """Add absolute positions to the map of the first stage, if the encoder has any."""
        return x

    def stage_context(
        self,
        stage: int,
        grid: tuple[int, int],
        places: torch.Tensor | None,
        device: torch.device,
    ) -> object:
        """The context that is passed to the blocks of a stage.

        Args:
            stage: Index of the stage.
            grid: (rows, cols) of its map.
            places: (B, rows, cols, 2) as in :meth:`run_stages`, in tokens of the first
                stage.
            device: Device of the map.
        """
        raise NotImplementedError

    def init_own_weights(self) -> None:
        """Xavier for linear layers and the patch embedding, fan-out normal for convolutions."""
        self.apply(init_mae_weights)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                fan_out = math.prod(module.kernel_size) * module.out_channels
                nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))

    def _block_of_downsample(self, stage: int) -> int:
        """The first block of the stage, as in UM-MAE's fine-tuning; mmpretrain's Swin differs."""
        return 0

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The patch embedding and the first stages; with all stages, the norm too."""
        yield from super().frozen_parts()
        if self.frozen_stages >= len(self.stages):
            yield self.norm


def read_architecture(
    arch: str | dict, known: dict[str, dict], keys: Sequence[str], owner: str
) -> dict:
    """Sizes of an encoder, from a name or a dict.

    Raises:
        ConfigError: The name is unknown, or a key is missing.
    """
    if isinstance(arch, dict):
        missing = set(keys) - set(arch)
        if missing:
            raise ConfigError(
                f'{owner}: arch lacks {sorted(missing)}; it has {sorted(arch)}. Add them.'
            )
        return arch
    if arch not in known:
        raise ConfigError(f'{owner}: unknown arch {arch!r}. Known: {sorted(known)}.')
    return known[arch]


def drop_path_rates(last_rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Drop-path rates of all blocks by stage, growing linearly from 0 to ``last_rate``."""
    rates = iter(calculate_drop_path_rates(last_rate, sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]
