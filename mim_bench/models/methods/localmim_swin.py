"""LocalMIM's Swin: an encoder of visible tokens only, and a small decoder for each stage."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from mmengine.model import BaseModule, ModuleList
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.masking.units import mask_of_tokens
from mim_bench.masking.window_plans import (
    HIDDEN_PAIR,
    NUM_EXTRA,
    GroupPlan,
    PlannedMask,
    plan_windows,
)
from mim_bench.models.backbones.swin import ARCHITECTURES, Swin
from mim_bench.models.layers.base import OwnWeights
from mim_bench.models.layers.transformer import init_mae_weights
from mim_bench.models.layers.windows import look_up_bias
from mim_bench.models.methods.localmim import HiddenDecoder
from mim_bench.registry import MODELS


@dataclass(frozen=True)
class GroupLayout:
    """A ``WindowLayout`` of visible tokens, packed in groups of windows.

    Attributes:
        plan: Slot of each token, and bias index of the pairs of a group.
    """

    plan: GroupPlan

    def cut(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (B, N, C) -> groups (B, groups, slots, C); slots without a token are zero."""
        if self.plan.slots is None:
            return x[:, None]
        groups, size, _ = self.plan.bias_index.shape
        slots = x.new_zeros(len(x), groups * size, x.shape[-1])
        return slots.index_copy(1, self.plan.slots, x).unflatten(1, (groups, size))

    def join(self, x: torch.Tensor) -> torch.Tensor:
        """Undo :meth:`cut`."""
        x = x.flatten(1, 2)
        return x if self.plan.slots is None else x.index_select(1, self.plan.slots)

    def bias(self, table: torch.Tensor) -> torch.Tensor:
        """Bias of a table (T, heads): (1, groups, heads, slots, slots)."""
        extra = table.new_zeros(NUM_EXTRA, table.shape[1])
        extra[HIDDEN_PAIR] = float('-inf')
        return look_up_bias(torch.cat((table, extra)), self.plan.bias_index).transpose(0, 1)[None]


@MODELS.register_module()
class LocalMIMSwin(Swin):
    """LocalMIM's Swin: :class:`Swin` that can leave out hidden units.

    A unit is the square of pixels that one token of the last stage stands for. Given a mask,
    the visible tokens alone are embedded, and each attends to the visible tokens of its own
    window, at its true place in every stage. Without a mask, and for any mask that hides
    nothing, this is the network of :class:`Swin`.

    Args:
        arch: 'tiny', 'small', 'base', 'large', or a dict with embed_dims, depths, num_heads.
        img_size: Side of the training images in pixels.
        window_size: Side of a window in tokens; on a stage whose map is smaller at
            ``img_size``, the map's.
        patch_size: Side of a patch in pixels.
        **kwargs: Arguments of :class:`Swin`; ``norm_eps`` is 1e-6 by default.

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
        **kwargs: object,
    ) -> None:
        depths = (arch if isinstance(arch, dict) else ARCHITECTURES.get(arch, {})).get('depths', ())
        sides = [img_size // (patch_size * 2**i) for i in range(len(depths))]
        super().__init__(
            arch,
            window_size=[min(window_size, side) for side in sides],
            patch_size=patch_size,
            **{'norm_eps': 1e-6, **kwargs},
        )

    @property
    def tokens_per_unit(self) -> int:
        """Tokens along a side of a unit in the first stage."""
        return 2 ** (len(self.stages) - 1)

    def init_own_weights(self) -> None:
        """Xavier for linear layers and the patch embedding; tables are normal, as in Swin."""
        self.apply(init_mae_weights)
        nn.init.xavier_uniform_(self.patch_embed.projection.weight.data.flatten(1))
        self.init_tables()

    def plan_mask(self, mask: Mask | torch.Tensor) -> PlannedMask:
        """Plan this network's windows for a mask; in training the loader does it.

        Args:
            mask: Mask over the units, the same for all images of the batch.

        Raises:
            ConfigError: The images have different masks.
        """
        mask = Mask.of(mask)
        if (mask.order != mask.order[:1]).any():
            raise ConfigError(
                f'LocalMIMSwin: {len(mask.order)} images with different masks, but one must hold '
                'for the batch. Give Mask.first() to backbone, neck and head alike.'
            )
        device = mask.order.device
        return plan_windows(mask.to('cpu'), self.window_sizes).to(device)

    def forward(
        self, x: torch.Tensor, mask: Mask | torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...] | list[torch.Tensor]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Mask over the units, one for the batch; None encodes the full images. A mask
                without a plan is planned here, which synchronises with a GPU.

        Returns:
            Without a mask the maps of Swin. With one, for each stage the visible tokens
            (B, visible tokens, C) after its merging (except in the last stage), in the order of
            :mod:`mim_bench.masking.units`.

        Raises:
            ConfigError: The mask is planned for other windows, does not have one bool a unit, or
                differs between images.
        """
        if mask is None:
            return super().forward(x)
        if not isinstance(mask, PlannedMask):
            warnings.warn(
                'LocalMIMSwin plans its windows while the device waits. Let the loader plan them: '
                "train_dataloader.collate_fn=dict(type='mim_bench.collate_masks', window_sizes="
                f'{list(self.window_sizes)}).',
                stacklevel=2,
            )
            mask = self.plan_mask(mask)
        self._check(x, mask)
        x = self.patch_embed(x, mask_of_tokens(mask, self.tokens_per_unit).visible)
        features = []
        for stage, plans in zip(self.stages, mask.plans, strict=True):
            _, x = stage(x, tuple(GroupLayout(plan) for plan in plans))
            features.append(x)
        return features

    def _check(self, images: torch.Tensor, mask: PlannedMask) -> None:
        if mask.window_sizes != self.window_sizes:
            raise ConfigError(
                f'LocalMIMSwin: windows of {self.window_sizes} tokens, but the mask is planned '
                f'for {mask.window_sizes}. Set train_dataloader.collate_fn.window_sizes='
                f'{list(self.window_sizes)}.'
            )
        unit = self.patch_size * self.tokens_per_unit
        size = tuple(images.shape[-2:])
        if size != tuple(side * unit for side in mask.grid):
            raise ConfigError(
                f'LocalMIMSwin: images of {size} px with masks of {mask.grid} units; it needs '
                f'whole units of {unit} px and one bool for each. Make input_size and unit_size '
                'of mim_bench.UnitMask fit.'
            )


@MODELS.register_module()
class LocalMIMSwinDecoder(OwnWeights, BaseModule):
    """The decoders of LocalMIM's Swin: predict all tokens of each stage from the visible ones.

    Every task has the grid of its stage, so each decoder ends in a linear layer. The batch shares
    one mask.

    Args:
        in_dims: Width of each stage after its merging (2E, 4E, 8E, 8E for four stages).
        out_dims: Length of a prediction of each task, or one number for all.
        grid: Mask units as (rows, cols).
        tokens_per_unit: Tokens along a side of a unit, for each task.
        embed_dims: Width of each decoder.
        num_heads: Heads of a block.
        depth: Transformer blocks of a decoder.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: The arguments do not name the same number of tasks.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5.
    """

    def __init__(
        self,
        in_dims: Sequence[int] = (256, 512, 1024, 1024),
        out_dims: int | Sequence[int] = 54,
        *,
        grid: tuple[int, int] = (7, 7),
        tokens_per_unit: Sequence[int] = (4, 2, 1, 1),
        embed_dims: Sequence[int] = (64, 128, 128, 128),
        num_heads: int = 4,
        depth: int = 1,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        lengths = [out_dims] * len(in_dims) if isinstance(out_dims, int) else list(out_dims)
        if len({len(x) for x in (in_dims, lengths, tokens_per_unit, embed_dims)}) != 1:
            raise ConfigError(
                f'LocalMIMSwinDecoder: {len(in_dims)} in_dims, {len(lengths)} out_dims, '
                f'{len(tokens_per_unit)} tokens_per_unit and {len(embed_dims)} embed_dims. Give '
                'one of each for every task.'
            )
        self.tokens_per_unit = tuple(tokens_per_unit)
        self.decoders = ModuleList(
            HiddenDecoder(width, (grid[0] * t, grid[1] * t), dims, num_heads, depth=depth)
            for width, dims, t in zip(in_dims, embed_dims, tokens_per_unit, strict=True)
        )
        self.preds = ModuleList(
            nn.Linear(dims, length) for dims, length in zip(embed_dims, lengths, strict=True)
        )

    def init_own_weights(self) -> None:
        """Xavier for linear layers; the decoders initialise themselves."""
        self.preds.apply(init_mae_weights)

    def forward(
        self,
        features: Sequence[torch.Tensor],
        mask: Mask | torch.Tensor,
        *,
        hidden_only: bool = False,
    ) -> list[torch.Tensor]:
        """Predict the targets.

        Args:
            features: Output of :class:`LocalMIMSwin`: for each task (B, visible tokens, C).
            mask: Mask over the units, one for the batch.
            hidden_only: Predict only the hidden tokens, since only they have a loss.

        Returns:
            For each task (B, tokens, length) in raster order, or (B, hidden tokens, length) in
            the order of :mod:`mim_bench.masking.units`.
        """
        mask, preds = Mask.of(mask), []
        for x, decoder, pred, t in zip(
            features, self.decoders, self.preds, self.tokens_per_unit, strict=True
        ):
            tokens = decoder(x, mask_of_tokens(mask, t), everywhere=not hidden_only)
            preds.append(pred(tokens))
        return preds
