"""LocalMIM's Swin: only the tokens of visible units pass through the network."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from mmpretrain.models.backbones import SwinTransformer
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.token_order import split_by_mask
from mim_bench.models.backbones.sparse_swin_blocks import (
    WindowGroups,
    merge_tokens,
    sparse_block,
)
from mim_bench.models.backbones.unit_order import token_places
from mim_bench.models.backbones.window_groups import plan_groups
from mim_bench.models.linear import use_fast_linear
from mim_bench.models.mae_init import init_mae_weights
from mim_bench.registry import MODELS


@MODELS.register_module()
class LocalMIMSwin(SwinTransformer):
    """mmpretrain's Swin, with its keys, that can leave out hidden units.

    A unit is the square of pixels that one token of the last stage stands for. Given a mask,
    the pixels of the visible units are gathered before the patch embedding, and every token
    attends to the visible tokens of its own window, at its true place in every stage. Without
    a mask, and for any mask that hides nothing, this is mmpretrain's network.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths, num_heads.
        img_size: Side of the training images in pixels.
        window_size: Side of a window in tokens; on a stage whose map is smaller at
            ``img_size``, the map's.
        patch_size: Side of a patch in pixels.
        in_channels: Channels of the input.
        drop_path_rate: Stochastic depth of the last block, growing linearly from 0.
        out_indices: Stages whose maps are returned without a mask, not normalised.
        with_cp: Recompute the blocks' activations in the backward pass.
        init_cfg: Initialisation of mmengine.

    Source: LocalMIM, arXiv:2303.05251; official ``mim_swin`` (Haoqing-Wang/LocalMIM@314a6e5).
    Differs: coordinates are true in stages 2 and 3, where the official code mixes raster and
    unit order; the patch embedding skips hidden units; 2x2 neighbours are merged in
    mmpretrain's channel order, which downstream networks share.
    """

    shares_mask: ClassVar[bool] = True

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        img_size: int = 224,
        window_size: int = 7,
        patch_size: int = 4,
        in_channels: int = 3,
        drop_path_rate: float = 0.0,
        out_indices: Sequence[int] | None = None,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        num_stages = len((arch if isinstance(arch, dict) else self.arch_zoo[arch])['depths'])
        self.window_sizes = [
            min(window_size, img_size // (patch_size * 2**i)) for i in range(num_stages)
        ]
        norm = dict(norm_cfg=dict(type='LN', eps=1e-6))
        super().__init__(
            arch,
            img_size=img_size,
            patch_size=patch_size,
            in_channels=in_channels,
            drop_path_rate=drop_path_rate,
            out_indices=(num_stages - 1,) if out_indices is None else tuple(out_indices),
            with_cp=with_cp,
            norm_cfg=None,
            patch_cfg=norm,
            stage_cfgs=[
                dict(window_size=size, block_cfgs=norm, downsample_cfg=norm)
                for size in self.window_sizes
            ],
            init_cfg=init_cfg,
        )
        self.patch_size = patch_size
        use_fast_linear(self)

    @property
    def unit_size(self) -> int:
        """Side of a unit in pixels."""
        return self.patch_size * self.tokens_per_unit

    @property
    def tokens_per_unit(self) -> int:
        """Tokens along a side of a unit in the first stage."""
        return 2 ** (len(self.stages) - 1)

    def init_weights(self) -> None:
        """Xavier for linear layers and the patch embedding; tables are normal, as in Swin."""
        super().init_weights()
        if (self.init_cfg or {}).get('type') == 'Pretrained':
            return
        self.apply(init_mae_weights)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...] | list[torch.Tensor]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) or (1, rows, cols) bool over the units, True = hidden; the
                first one holds for all images. None encodes the full images.

        Returns:
            Without a mask the maps of mmpretrain's Swin. With one, for each stage the visible
            tokens (B, visible tokens, C) after its merging (the last stage has none), in the
            order of :mod:`~mim_bench.models.backbones.unit_order`.

        Raises:
            ConfigError: The mask is not one bool a unit of the image.
        """
        if mask is None:
            return super().forward(x)
        mask = mask.is_hidden if isinstance(mask, Mask) else mask
        self._check(x, mask)
        mask = mask[0].cpu()  # the plan is small integer work; a GPU would do it slower
        x = self.embed_visible(x, mask)
        features = []
        for i, stage in enumerate(self.stages):
            groups = self.window_groups(mask, i, x.device)
            for k, block in enumerate(stage.blocks):
                x = sparse_block(block, x, groups[k % 2])
            if stage.downsample is not None:
                x = merge_tokens(stage.downsample, x)
            features.append(x)
        return features

    def embed_visible(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Patch embedding of the visible units: (B, C, H, W) -> (B, visible tokens, D)."""
        b, c, h, w = images.shape
        p = self.patch_size
        places = visible_places(mask, self.tokens_per_unit).to(images.device)
        rows, cols = places // (w // p), places % (w // p)
        patches = images.reshape(b, c, h // p, p, w // p, p).permute(0, 2, 4, 1, 3, 5)
        patches = patches[:, rows, cols].flatten(2)  # (B, N, C * p * p)
        projection = self.patch_embed.projection
        return self.patch_embed.norm(
            F.linear(patches, projection.weight.flatten(1), projection.bias)
        )

    def window_groups(
        self, mask: torch.Tensor, stage: int, device: torch.device
    ) -> tuple[WindowGroups, WindowGroups]:
        """The groups of a stage's blocks, those of even and those of odd number.

        Args:
            mask: (rows, cols) bool on the CPU.
            stage: Number of the stage from 0.
            device: Where the network runs.
        """
        side = self.tokens_per_unit // 2**stage
        grid = (mask.shape[0] * side, mask.shape[1] * side)
        raster = visible_places(mask, side)
        places = torch.stack((raster // grid[1], raster % grid[1]), dim=-1).numpy()
        plans = [
            plan_groups(places, grid, self.window_sizes[stage], shifted=shifted)
            for shifted in (False, True)
        ]
        return tuple(WindowGroups.from_plan(plan, device) for plan in plans)

    def _check(self, images: torch.Tensor, mask: torch.Tensor) -> None:
        needed = tuple(side // self.unit_size for side in images.shape[-2:])
        is_whole = all(side % self.unit_size == 0 for side in images.shape[-2:])
        if not is_whole or mask.dim() != 3 or tuple(mask.shape[1:]) != needed:
            raise ConfigError(
                f'LocalMIMSwin: images of {tuple(images.shape[-2:])} px with masks of shape '
                f'{tuple(mask.shape)}; it needs whole units of {self.unit_size} px and one bool '
                'for each. Make input_size and unit_size of mim_bench.UnitMask fit.'
            )


def visible_places(mask: torch.Tensor, tokens_per_unit: int) -> torch.Tensor:
    """Raster numbers of the visible tokens, in the order of the network: (N,) int64.

    Args:
        mask: (rows, cols) bool on the CPU, True = hidden.
        tokens_per_unit: Tokens along a side of a unit in this stage.
    """
    visible, _ = split_by_mask(mask[None])
    return token_places(visible[0], tuple(mask.shape), tokens_per_unit)
