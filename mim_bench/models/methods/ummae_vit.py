"""UM-MAE's plain ViT: MAE's encoder with secondary masking."""

import torch
from torch.nn import functional as F

from mim_bench.masking.mask import Mask, take_tokens
from mim_bench.models.backbones.visible_vit import VisibleViT
from mim_bench.models.methods.ummae import SecondaryMasking
from mim_bench.registry import MODELS


@MODELS.register_module()
class UMMAEPretrainViT(SecondaryMasking, VisibleViT):
    """:class:`VisibleViT` with secondary masking.

    A sampled patch that is hidden keeps its index in the sequence and its position, and has
    the secondary mask token as content.

    Args:
        arch: See :class:`VisibleViT`.
        **kwargs: Arguments of :class:`SecondaryMasking` and :class:`VisibleViT`.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_vit``.
    """

    def __init__(self, arch: str | dict = 'base', **kwargs: object) -> None:
        super().__init__(arch, **kwargs)

    def forward(
        self,
        x: torch.Tensor,
        mask: Mask | torch.Tensor | None = None,
        hidden: Mask | torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Encode images.

        Args:
            x: Images (B, C, H, W).
            mask: Patches that are not sampled; None encodes the full image.
            hidden: Patches that are not seen as image content, a superset of ``mask``; None without
                secondary masking.

        Returns:
            With masks one tensor (B, 1 + sampled, C): class token, then the sampled patches
            in raster order, after the last norm if there is one; else the features of
            :class:`VisibleViT`.

        Raises:
            ConfigError: Secondary masking is on in the network or in the masks alone.
        """
        if mask is None:
            return super().forward(x)
        self.check_hidden(hidden)
        if hidden is None:
            return super().forward(x, mask)
        mask = Mask.of(mask)
        tokens = self.hide(self.embed_visible(x, mask), mask, Mask.of(hidden))
        return tuple(self.run_blocks(tokens, self.grid, (self.num_layers - 1,)))

    def hide(self, tokens: torch.Tensor, mask: Mask, hidden: Mask) -> torch.Tensor:
        """Put the secondary mask token, with their own positions, in place of hidden patches.

        Args:
            tokens: (B, 1 + sampled, C): class token, then the sampled patches in raster order.
            mask: Patches that are not sampled.
            hidden: A superset of ``mask``.
        """
        is_hidden = F.pad(take_tokens(hidden.is_hidden.flatten(1), mask.visible), (1, 0))
        places = F.pad(mask.visible + 1, (1, 0))  # the class token is first in the table, too
        token = self.vis_mask_token + take_tokens(self.pos_embed, places)
        return torch.where(is_hidden[..., None], token, tokens)
