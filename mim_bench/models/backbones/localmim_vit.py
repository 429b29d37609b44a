"""LocalMIM's ViT: the visible-patch network whose lower blocks are supervised too."""

from collections.abc import Sequence

import torch

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.block_queries import forward_block
from mim_bench.models.backbones.visible_vit import VisibleViT
from mim_bench.registry import MODELS


@MODELS.register_module()
class LocalMIMViT(VisibleViT):
    """Hands out the tokens after several blocks, for one reconstruction task each.

    Args:
        arch: As of :class:`VisibleViT`.
        guided_blocks: Blocks that have a task, counted from 0, in rising order; None is
            LocalMIM's rule: [1, 3, depth - 3, depth - 1].
        **kwargs: Of :class:`VisibleViT`; there is no norm after the last block, since every
            task's decoder begins with one of its own.

    Raises:
        ConfigError: ``guided_blocks`` do not rise, or name a block that is not there.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5.
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        *,
        guided_blocks: Sequence[int] | None = None,
        **kwargs: object,
    ) -> None:
        super().__init__(arch, final_norm=False, **kwargs)
        depth = self.num_layers
        blocks = [1, 3, depth - 3, depth - 1] if guided_blocks is None else list(guided_blocks)
        if blocks != sorted(set(blocks)) or not blocks or not 0 <= blocks[0] <= blocks[-1] < depth:
            raise ConfigError(
                f'LocalMIMViT: guided_blocks {blocks} must rise and lie in 0 to {depth - 1}, '
                f'since the network has {depth} blocks. Name them in the config.'
            )
        self.guided_blocks = blocks

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> tuple | list:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool, True = hidden, the same number in every sample; None
                encodes the full image, at any size.

        Returns:
            With a mask, for each guided block (B, 1 + visible, C), not normalised: class
            token, then visible patches in raster order. Without: the features of mmpretrain's
            class, one for each of ``out_indices``.
        """
        if mask is None:
            return super().forward(x)
        tokens = self.embed_visible(x, mask)
        features = []
        for i, layer in enumerate(self.layers[: self.guided_blocks[-1] + 1]):
            tokens = forward_block(layer, tokens)
            if i in self.guided_blocks:
                features.append(tokens)
        return features
