"""LocalMIM's decoders for Swin: a small one for each stage."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList

from mim_bench.errors import ConfigError
from mim_bench.masking.mask import Mask
from mim_bench.models.backbones.unit_order import token_places
from mim_bench.models.linear import Linear
from mim_bench.models.mae_init import init_mae_weights
from mim_bench.models.methods.localmim import HiddenDecoder
from mim_bench.registry import MODELS


@MODELS.register_module()
class LocalMIMSwinDecoder(BaseModule):
    """Predicts every token of each stage's grid from the visible ones.

    Every task already sits on its own grid, so a linear layer ends each decoder. The batch
    shares one mask.

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
            Linear(dims, length) for dims, length in zip(embed_dims, lengths, strict=True)
        )

    def init_weights(self) -> None:
        """Xavier for linear layers; mask tokens are normal with deviation 0.02."""
        super().init_weights()
        self.preds.apply(init_mae_weights)

    def forward(
        self,
        features: Sequence[torch.Tensor],
        mask: Mask | torch.Tensor,
        *,
        hidden_only: bool = False,
    ) -> list[torch.Tensor]:
        """Predict.

        Args:
            features: Of :class:`~mim_bench.models.backbones.localmim_swin.LocalMIMSwin`: for
                each task (B, visible tokens, C).
            mask: Over the units; the first one holds for all images.
            hidden_only: Predict only what has a loss.

        Returns:
            For each task (B, tokens, length): the tokens of its grid in raster order, or the
            hidden ones, in the order of :mod:`~mim_bench.models.backbones.unit_order`.
        """
        mask, preds = Mask.of(mask).first(), []
        for x, decoder, pred, t in zip(
            features, self.decoders, self.preds, self.tokens_per_unit, strict=True
        ):
            order = token_places(mask.order[0], mask.grid, t)[None]
            grid = tuple(side * t for side in mask.grid)
            tokens = Mask(order, mask.num_visible * t**2, grid)
            preds.append(pred(decoder(x, tokens, everywhere=not hidden_only)))
        return preds
