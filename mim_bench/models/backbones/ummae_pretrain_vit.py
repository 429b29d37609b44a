"""UM-MAE's plain ViT: MAE's encoder, with some of the visible patches hidden from it, too."""

import torch
from torch import nn
from torch.nn import functional as F

from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbones.block_queries import forward_block
from mim_bench.models.backbones.visible_vit import VisibleViT
from mim_bench.registry import MODELS


@MODELS.register_module()
class UMMAEPretrainViT(VisibleViT):
    """:class:`VisibleViT` with secondary masking.

    A sampled patch that is hidden keeps its place in the sequence and its position, and has
    the secondary mask token for content.

    Args:
        arch: Of :class:`VisibleViT`.
        **kwargs: Of :class:`VisibleViT`.

    Source: UM-MAE, arXiv:2205.10063, official ``mae_vit``.
    """

    def __init__(self, arch: str | dict = 'base', **kwargs: object) -> None:
        super().__init__(arch, **kwargs)
        self.vis_mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))

    def init_weights(self) -> None:
        """As MAE; the secondary mask token is normal with deviation 0.02."""
        super().init_weights()
        if not isinstance(self.init_cfg, dict) or self.init_cfg['type'] != 'Pretrained':
            nn.init.normal_(self.vis_mask_token, std=0.02)

    def forward(
        self,
        x: torch.Tensor,
        mask: torch.Tensor | None = None,
        hidden: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool, True = not sampled, the same number in every sample;
                None encodes the full image.
            hidden: Like ``mask``: True = not seen as image content; a superset of ``mask``.

        Returns:
            With masks one tensor (B, 1 + sampled, C): class token, then the sampled patches
            in raster order, after the last norm if there is one; else the features of
            :class:`VisibleViT`.
        """
        if mask is None or hidden is None:
            return super().forward(x, mask)
        tokens = self.hide(self.embed_visible(x, mask), mask, hidden)
        for layer in self.layers:
            tokens = forward_block(layer, tokens)
        return (self.ln1(tokens) if self.final_norm else tokens,)

    def hide(self, tokens: torch.Tensor, mask: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        """Put the secondary mask token, with their own positions, in place of hidden patches.

        Args:
            tokens: (B, 1 + sampled, C): class token, then the sampled patches in raster order.
            mask: (B, rows, cols) bool, True = not sampled.
            hidden: Like ``mask``, a superset of it.
        """
        sampled, _ = split_by_mask(mask, num_visible=tokens.shape[1] - 1)
        is_hidden = F.pad(take_tokens(hidden.flatten(1), sampled), (1, 0))
        places = F.pad(sampled + 1, (1, 0))  # the class token is first in the table, too
        token = self.vis_mask_token + take_tokens(self.pos_embed, places)
        return torch.where(is_hidden[..., None], token.to(tokens.dtype), tokens)
