"""Data preprocessor for methods whose tokenizer sees another view than the network."""

from collections.abc import Sequence
from typing import Any

import torch
from mmpretrain.models.utils import SelfSupDataPreprocessor, TwoNormDataPreprocessor

from mim_bench.registry import MODELS


@MODELS.register_module()
class TokenizerDataPreprocessor(TwoNormDataPreprocessor):
    """Normalises the network's view and the tokenizer's view with their own statistics.

    A batch of single images, as in probes and fine-tuning, is normalised for the network;
    mmpretrain's class takes pairs of views only.

    Args:
        second_mean: Mean of the tokenizer's view. The default is DALL-E's: with ``second_std`` it
            squeezes pixels in [0, 1] into [0.1, 0.9].
        second_std: Deviation of the tokenizer's view.
        **kwargs: Arguments of mmpretrain's ``TwoNormDataPreprocessor``.

    Source: BEiT, arXiv:2106.08254; numbers as in mmpretrain 1.2.0's BEiT config.
    """

    def __init__(
        self,
        *,
        second_mean: Sequence[float] = (-31.875, -31.875, -31.875),
        second_std: Sequence[float] = (318.75, 318.75, 318.75),
        **kwargs: object,
    ) -> None:
        super().__init__(second_mean=second_mean, second_std=second_std, **kwargs)

    def forward(self, data: dict, training: bool = False) -> dict[str, Any]:
        """Normalise; see the class.

        Args:
            data: ``inputs``, one tensor (B, 3, H, W) or a list of two, and ``data_samples``.
            training: Not used.
        """
        if isinstance(data['inputs'], torch.Tensor):
            return SelfSupDataPreprocessor.forward(self, data, training)
        return super().forward(data, training)
