"""LocalMIM's decoders for ViT: a small one for each guided block."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule, ModuleList

from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask
from mim_bench.models.necks.localmim_decoder_block import LocalMIMDecoderBlock
from mim_bench.models.necks.scaled_prediction import ScaledPrediction
from mim_bench.registry import MODELS


@MODELS.register_module()
class LocalMIMDecoder(BaseModule):
    """Fine predictions for low blocks, coarse ones for high blocks.

    Args:
        in_dims: Width of the encoder.
        out_dims: Length of a prediction of each task, or one number for all.
        grid: Patches as (rows, cols).
        scales: Predictions along a side of a patch, for each task: 4, 2, 1 or 0.5.
        embed_dims: Width of a decoder.
        num_heads: Heads of a block.
        depth: Transformer blocks of a decoder.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``out_dims`` and ``scales`` differ in number, or a scale is unknown.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5.
    """

    def __init__(
        self,
        in_dims: int = 768,
        out_dims: int | Sequence[int] = 27,
        *,
        grid: tuple[int, int] = (14, 14),
        scales: Sequence[float] = (4, 2, 1, 0.5),
        embed_dims: int = 256,
        num_heads: int = 8,
        depth: int = 1,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        lengths = [out_dims] * len(scales) if isinstance(out_dims, int) else list(out_dims)
        if len(lengths) != len(scales):
            raise ConfigError(
                f'LocalMIMDecoder: {len(lengths)} out_dims for {len(scales)} scales. Give one '
                'for each task, or one number for all.'
            )
        self.decoders = ModuleList(
            LocalMIMDecoderBlock(
                in_dims, grid, embed_dims, num_heads, depth=depth, class_token=True
            )
            for _ in scales
        )
        self.preds = ModuleList(
            ScaledPrediction(embed_dims, length, scale)
            for length, scale in zip(lengths, scales, strict=True)
        )

    def forward(self, features: Sequence[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
        """Predict every cell.

        Args:
            features: For each task (B, 1 + visible, C), class token first, then visible
                patches in raster order.
            mask: (B, rows, cols) bool, True = hidden.

        Returns:
            For each task (B, cells, length), the cells of its grid in raster order.
        """
        split = split_by_mask(mask, features[0].shape[1] - 1)
        return [
            pred.predict_grid(decoder.decode_all(x, *split), tuple(mask.shape[1:]))
            for x, decoder, pred in self._tasks(features)
        ]

    def predict_hidden(
        self, features: Sequence[torch.Tensor], mask: torch.Tensor
    ) -> list[torch.Tensor]:
        """Predict only what can have a loss.

        Args:
            features: As of :meth:`forward`.
            mask: As of :meth:`forward`.

        Returns:
            For each task (B, cells, length). At scales from 1 the cells of the hidden patches,
            in the order of :meth:`ScaledPrediction.forward`; at scale 0.5, where a cell covers
            four patches, all cells in raster order.
        """
        split = split_by_mask(mask, features[0].shape[1] - 1)
        preds = []
        for x, decoder, pred in self._tasks(features):
            if pred.scale < 1:
                tokens = decoder.decode_all(x, *split)
                preds.append(pred.predict_grid(tokens, tuple(mask.shape[1:])))
            else:
                preds.append(pred(decoder(x, *split)))
        return preds

    def _tasks(self, features: Sequence[torch.Tensor]) -> zip:
        return zip(features, self.decoders, self.preds, strict=True)
