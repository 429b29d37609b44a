"""What hierarchical backbones share: patch embedding, blocks, stages' bookkeeping."""

from collections.abc import Iterator, Sequence

import torch
from mmcv.cnn.bricks.drop import DropPath
from mmcv.cnn.bricks.transformer import FFN
from mmengine.model import BaseModule
from timm.layers.drop import calculate_drop_path_rates
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from mim_bench.errors import ConfigError
from mim_bench.models.layers.base import Backbone


def cut_patches(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """The pixels of each patch: (B, C, H, W) -> (B, H // patch, W // patch, C * patch ** 2).

    A vector is laid out as a convolution's weights. A rest at the border is left out.
    """
    b, c, height, width = images.shape
    rows, cols = height // patch_size, width // patch_size
    images = images[..., : rows * patch_size, : cols * patch_size]
    patches = images.reshape(b, c, rows, patch_size, cols, patch_size)
    return patches.permute(0, 2, 4, 1, 3, 5).flatten(3)


class PatchConv(nn.Conv2d):
    """A convolution without overlaps, applied to the vectors of its patches.

    So maps stay (B, rows, cols, C) in memory, and patches can be left out.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        patch_size: Side of the kernel, and the stride.
    """

    def __init__(self, in_channels: int, out_channels: int, patch_size: int = 1) -> None:
        super().__init__(in_channels, out_channels, patch_size, stride=patch_size)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Vectors of :func:`cut_patches` (..., C * patch ** 2) -> (..., D)."""
        return F.linear(patches, self.weight.flatten(1), self.bias)


class PatchEmbed(BaseModule):
    """Patches through one linear map, then LayerNorm unless ``norm_eps`` is None."""

    def __init__(
        self, in_channels: int, embed_dims: int, patch_size: int, *, norm_eps: float | None
    ) -> None:
        super().__init__()
        self.projection = PatchConv(in_channels, embed_dims, patch_size)
        self.norm = nn.Identity() if norm_eps is None else nn.LayerNorm(embed_dims, eps=norm_eps)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Vectors of :func:`cut_patches` (..., C * patch ** 2) -> (..., D)."""
        return self.norm(self.projection(patches))


class PyramidBlock(BaseModule):
    """Pre-norm block: x + attention, then x + MLP.

    Args:
        embed_dims: Width of a token.
        attn: Called with tokens and what the stage hands to its blocks.
        mlp_ratio: Width of the MLP's hidden layer, in widths of a token.
        drop_path: Rate of stochastic depth.
        with_cp: Recompute the block's activations in the backward pass.
        norm_eps: Of the norm before the attention.
        norm2_eps: Of the norm before the MLP.
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
        self.ffn = FFN(
            embed_dims,
            mlp_ratio * embed_dims,
            act_cfg=dict(type='GELU'),
            dropout_layer=dict(type='DropPath', drop_prob=drop_path),
        )

    def forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        """Tokens (B, ..., C) and the stage's context -> the same shape."""
        if self.with_cp and x.requires_grad:
            return checkpoint(self._forward, x, context, use_reentrant=False)
        return self._forward(x, context)

    def _forward(self, x: torch.Tensor, context: object) -> torch.Tensor:
        x = x + self.drop_path(self.attn(self.norm1(x), context))
        return self.ffn(self.norm2(x), identity=x)


class Pyramid(Backbone):
    """A backbone of stages, each with half the rows and columns of the one before.

    Args:
        patch_embed: The patch embedding.
        stages: With ``blocks`` and ``downsample``.
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
            prefix: Of the backbone in the model, for example ``'backbone.'``.

        Returns:
            (layer, layers): 0 for patch and position embedding, g + 1 for block g of all, the
            layer of :meth:`_block_of_downsample` for a downsampling, blocks + 1 for the rest;
            layers = blocks + 2.
        """
        num_layers = sum(self.depths) + 2
        parts = param_name.removeprefix(prefix).split('.')
        if not param_name.startswith(prefix) or parts[0] not in (
            'patch_embed',
            'pos_embed',
            'stages',
        ):
            return num_layers - 1, num_layers
        if parts[0] != 'stages':
            return 0, num_layers
        stage = int(parts[1])
        block = int(parts[3]) if parts[2] == 'blocks' else self._block_of_downsample(stage)
        return sum(self.depths[:stage]) + block + 1, num_layers

    def _block_of_downsample(self, stage: int) -> int:
        """The block of a stage with which the downsampling's learning rate decays."""
        raise NotImplementedError

    def frozen_parts(self) -> Iterator[nn.Module | torch.Tensor | None]:
        """The patch embedding and the first stages."""
        yield self.patch_embed
        yield from self.stages[: self.frozen_stages]


def read_architecture(
    arch: str | dict, known: dict[str, dict], keys: Sequence[str], owner: str
) -> dict:
    """Sizes of an encoder, by name or as they are.

    Raises:
        ConfigError: The name is unknown, or a key is missing.
    """
    if isinstance(arch, dict):
        missing = set(keys) - set(arch)
        if missing:
            raise ConfigError(f'{owner}: arch lacks {sorted(missing)}; it has {sorted(arch)}.')
        return arch
    if arch not in known:
        raise ConfigError(f'{owner}: unknown arch {arch!r}. Known: {sorted(known)}.')
    return known[arch]


def drop_path_rates(last_rate: float, depths: Sequence[int]) -> list[list[float]]:
    """Stochastic depth of every block, by stage, growing linearly from 0 to ``last_rate``."""
    rates = iter(calculate_drop_path_rates(last_rate, sum(depths)))
    return [[next(rates) for _ in range(depth)] for depth in depths]
