"""UM-MAE's decoders: one for pyramid encoders, one for the plain ViT."""

import torch
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.errors import ConfigError
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbones.block_queries import (
    forward_block,
    forward_queries,
    rest_of_block,
)
from mim_bench.models.backbones.compact_grid import CompactGrid
from mim_bench.models.linear import use_fast_linear
from mim_bench.models.mae_init import init_mae_weights
from mim_bench.registry import MODELS

POSITION_ORDERS = ('cell', 'raster')


class UMMAEDecoder(BaseModule):
    """What both decoders share: blocks over seen patches and mask tokens, pixels of the latter.

    Args:
        in_dims: Width of the encoder.
        num_patches: Mask patches of an image, rows * cols.
        patch_size: Side of a mask patch in pixels.
        embed_dims: Width of the decoder.
        depth: Transformer blocks.
        num_heads: Heads of a block.
        in_channels: Channels of the image.
        vectors_per_token: Patches that one token of the encoder stands for.
        num_extra_tokens: Tokens before the patches; their positions are zero.
        init_cfg: Initialisation of mmengine.

    Source: MAE's decoder as UM-MAE uses it. Differs: the last block leaves out the visible
    patches, which get no loss; the numbers of the others are the same.
    """

    def __init__(
        self,
        in_dims: int,
        num_patches: int,
        *,
        patch_size: int = 16,
        embed_dims: int = 512,
        depth: int = 2,
        num_heads: int = 16,
        in_channels: int = 3,
        vectors_per_token: int = 1,
        num_extra_tokens: int = 0,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        side = round(num_patches**0.5)
        table = sincos_position_embedding((side, side), embed_dims)
        self.num_extra_tokens = num_extra_tokens
        self.decoder_embed = nn.Linear(in_dims, vectors_per_token * embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.decoder_pos_embed = nn.Parameter(
            F.pad(table, (0, 0, num_extra_tokens, 0))[None], requires_grad=False
        )
        self.decoder_blocks = nn.ModuleList(
            TransformerEncoderLayer(
                embed_dims, num_heads, 4 * embed_dims, norm_cfg=dict(type='LN', eps=1e-6)
            )
            for _ in range(depth)
        )
        self.ln1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.decoder_pred = nn.Linear(embed_dims, patch_size**2 * in_channels)
        use_fast_linear(self)

    def init_weights(self) -> None:
        """Xavier for linear layers; the mask token is normal with deviation 0.02."""
        super().init_weights()
        self.apply(init_mae_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def decode(self, seen: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Predict the patches at some places.

        Args:
            seen: (B, S, embed_dims), what the encoder saw, with positions, in any order:
                attention is global, so only the positions tell tokens apart.
            places: (B, Q) int64 into the table of positions.

        Returns:
            (B, Q, patch_size ** 2 * channels).
        """
        # A mask token differs from others by its place only.
        mask_tokens = self.mask_token[0] + self.decoder_pos_embed[0]
        x = torch.cat((seen, F.embedding(places, mask_tokens).to(seen.dtype)), dim=1)
        *blocks, last = self.decoder_blocks
        for i, block in enumerate(blocks):
            x = forward_block(block, x) if i else _first_block(block, x, seen, mask_tokens, places)
        return self.decoder_pred(self.ln1(forward_queries(last, x, x[:, seen.shape[1] :])))

    def split(self, mask: torch.Tensor, num_visible: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Places of the sampled and of the other patches in the table, both in raster order.

        Args:
            mask: (B, rows, cols) bool, True = not sampled.
            num_visible: Sampled patches of every image.

        Raises:
            ConfigError: The grid has another number of patches than the decoder.
        """
        rows, cols = mask.shape[1:]
        num_patches = self.decoder_pos_embed.shape[1] - self.num_extra_tokens
        if rows * cols != num_patches:
            raise ConfigError(
                f'{type(self).__name__}: masks of {rows}x{cols} patches, but num_patches is '
                f'{num_patches}. Make input_size of the mask, img size and num_patches agree.'
            )
        visible, hidden = split_by_mask(mask, num_visible)
        return visible + self.num_extra_tokens, hidden + self.num_extra_tokens


@MODELS.register_module()
class UMMAEPyramidDecoder(UMMAEDecoder):
    """Predicts the patches that were not sampled from a pyramid encoder's last map.

    The last map has a token for every 2x2 visible patches; a pixel shuffle gives each
    visible patch its own vector, in the order of the cells.

    Args:
        in_dims: Width of the encoder's last stage.
        num_patches: Mask patches of an image, rows * cols (256 at 256 px).
        upscale: Visible patches along a side that one encoder token stands for.
        decoder_pos_order: 'cell' gives every visible patch the position embedding of its
            own place. 'raster' gives them in raster order of the whole grid, as the
            official code does, which is another patch's for about 75 % of them; needed to
            reconstruct with official weights.
        **kwargs: Of :class:`UMMAEDecoder`.

    Raises:
        ConfigError: ``decoder_pos_order`` is neither.

    Source: UM-MAE, arXiv:2205.10063, official pyramid decoder.
    """

    def __init__(
        self,
        in_dims: int,
        num_patches: int,
        *,
        upscale: int = 2,
        decoder_pos_order: str = 'cell',
        **kwargs: object,
    ) -> None:
        super().__init__(in_dims, num_patches, vectors_per_token=upscale**2, **kwargs)
        if decoder_pos_order not in POSITION_ORDERS:
            raise ConfigError(
                f'UMMAEPyramidDecoder: decoder_pos_order {decoder_pos_order!r} must be one of '
                f'{POSITION_ORDERS}.'
            )
        self.decoder_pos_order = decoder_pos_order
        self.upscale = upscale

    def forward(self, latent: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Predict.

        Args:
            latent: (B, C, rows / 4, cols / 4), the encoder's last map.
            mask: (B, rows, cols) bool, True = not sampled, one False in every 2x2 cell.

        Returns:
            (B, hidden patches, patch_size ** 2 * channels), the patches that were not
            sampled, in raster order.
        """
        places, hidden = self.split(mask, mask[0].numel() // 4)
        if self.decoder_pos_order == 'cell':
            places = CompactGrid.from_mask(mask).patch_index()
        x = self.decoder_embed(latent.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        visible = F.pixel_shuffle(x, self.upscale).flatten(2).transpose(1, 2)
        return self.decode(visible + take_tokens(self.decoder_pos_embed, places), hidden)


@MODELS.register_module()
class UMMAEViTDecoder(UMMAEDecoder):
    """Predicts the patches that were not sampled from the tokens of a plain ViT.

    Args:
        in_dims: Width of the encoder.
        num_patches: Patches of an image, rows * cols (196 at 224 px).
        **kwargs: Of :class:`UMMAEDecoder`.

    Source: UM-MAE, arXiv:2205.10063, official ViT decoder, which is MAE's.
    """

    def __init__(self, in_dims: int, num_patches: int, **kwargs: object) -> None:
        super().__init__(in_dims, num_patches, num_extra_tokens=1, **kwargs)

    def forward(self, latent: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Predict.

        Args:
            latent: (B, 1 + sampled, C): class token, then the sampled patches in raster order.
            mask: (B, rows, cols) bool, True = not sampled.

        Returns:
            (B, hidden patches, patch_size ** 2 * channels), in raster order.
        """
        visible, hidden = self.split(mask, latent.shape[1] - 1)
        places = F.pad(visible, (1, 0))  # the class token is first in the table
        x = self.decoder_embed(latent) + take_tokens(self.decoder_pos_embed, places)
        return self.decode(x, hidden)


def _first_block(
    block: TransformerEncoderLayer,
    x: torch.Tensor,
    seen: torch.Tensor,
    mask_tokens: torch.Tensor,
    places: torch.Tensor,
) -> torch.Tensor:
    """``block(x)``, with queries, keys and values of mask tokens made once for each place.

    Args:
        block: The first of a decoder.
        x: (B, S + Q, C), its input: ``seen``, then the mask tokens at ``places``.
        seen: (B, S, C).
        mask_tokens: (P, C), at every place.
        places: (B, Q) int64 into ``mask_tokens``.
    """
    project = block.attn.qkv
    of_masked = F.embedding(places, project(block.ln1(mask_tokens)))
    qkv = torch.cat((project(block.ln1(seen)), of_masked), dim=1)
    return rest_of_block(block, x, qkv.chunk(3, dim=-1))
