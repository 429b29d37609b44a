"""The plain vision transformer that sees a learned token in place of every hidden patch."""

import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbones.block_queries import forward_block, forward_queries
from mim_bench.models.backbones.visible_vit import VisibleViT
from mim_bench.registry import MODELS

WANTED = ('all', 'hidden', 'class')


@MODELS.register_module()
class MaskTokenViT(VisibleViT):
    """:class:`VisibleViT` that keeps the whole sequence: hidden patches become mask tokens.

    State-dict keys are those of mmpretrain's ``VisionTransformer`` and ``mask_token``.

    Args:
        arch: Of :class:`VisibleViT`.
        freeze_patch_embed: Keep the random patch embedding that the training starts with;
            MoCo v3's remedy for an unstable training.
        **kwargs: Of :class:`VisibleViT`.

    Source: the form of SimMIM and BEiT, with MAE's positions and initialisation.
    """

    def __init__(
        self, arch: str | dict = 'base', *, freeze_patch_embed: bool = False, **kwargs: object
    ) -> None:
        super().__init__(arch, **kwargs)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, self.embed_dims))
        self.patch_embed.requires_grad_(not freeze_patch_embed)

    def init_weights(self) -> None:
        """As MAE; the mask token is truncated normal with deviation 0.02."""
        super().init_weights()
        if not isinstance(self.init_cfg, dict) or self.init_cfg['type'] != 'Pretrained':
            nn.init.trunc_normal_(self.mask_token, std=0.02)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None, *, wanted: str = 'all'
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W).
            mask: (B, rows, cols) bool, True = hidden; None encodes the full image, at any
                size. For ``wanted='hidden'`` every sample hides the same number.
            wanted: Tokens to return. The last block leaves out what is needed for others
                only, which changes no number.

        Returns:
            With a mask one tensor, after the last norm if there is one: (B, 1 + L, C) for
            'all', the class token before the patches in raster order; (B, 1 + hidden, C) for
            'hidden', the same without the visible patches; (B, 1, C) for 'class'. Without:
            the features of mmpretrain's class, one for each of ``out_indices``.

        Raises:
            ConfigError: ``wanted`` is unknown, sizes do not agree, or the samples hide
                different numbers.
        """
        if mask is None:
            return super().forward(x)
        if wanted not in WANTED:
            raise ConfigError(f'{type(self).__name__}: wanted {wanted!r} is none of {WANTED}.')
        if wanted == 'hidden':
            tokens, first_hidden = self._embed_hidden_last(x, mask)
        else:
            tokens = self._embed_raster(x, mask)
        *layers, last = self.layers
        for layer in layers:
            tokens = forward_block(layer, tokens)
        if wanted == 'all':
            tokens = forward_block(last, tokens)
        else:
            queries = tokens[:, :1]
            if wanted == 'hidden':
                queries = torch.cat((queries, tokens[:, first_hidden:]), dim=1)
            tokens = forward_queries(last, tokens, queries)
        return (self.ln1(tokens) if self.final_norm else tokens,)

    def _embed_raster(self, images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(B, 1 + L, C): class token, then all patches in raster order."""
        self._check_sizes(images, mask)
        tokens, _ = self.patch_embed(images)
        tokens = torch.where(mask.flatten(1)[..., None], self.mask_token.to(tokens.dtype), tokens)
        tokens = torch.cat((self.cls_token.to(tokens.dtype).expand(len(tokens), -1, -1), tokens), 1)
        return self.pre_norm(self.drop_after_pos(tokens + self.pos_embed))

    def _embed_hidden_last(
        self, images: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, int]:
        """Tokens (B, 1 + L, C): class, visible, hidden; and the place of the first hidden one.

        Attention is global, so the order of the tokens is free; in this one the wanted ones
        need no gathering.
        """
        tokens = self.embed_visible(images, mask)
        first_hidden = tokens.shape[1]
        _, hidden = split_by_mask(mask, num_visible=first_hidden - 1)
        places = take_tokens(self.pos_embed[:, 1:], hidden)
        masked = self.pre_norm(self.drop_after_pos(self.mask_token + places))
        return torch.cat((tokens, masked.to(tokens.dtype)), dim=1), first_hidden
