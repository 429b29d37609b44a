"""UM-MAE's decoder for pyramid encoders."""

import torch
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn
from torch.nn import functional as F

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.compact_grid import CompactGrid
from mim_bench.models.backbones.ummae_swin import init_ummae_weights
from mim_bench.models.necks.sincos import sincos_position_embedding
from mim_bench.registry import MODELS

POSITION_ORDERS = ('cell', 'raster')


@MODELS.register_module()
class UMMAEPyramidDecoder(BaseModule):
    """Predicts the patches that were not sampled from the encoder's last map.

    The last map has a token for every 2x2 visible patches; a pixel shuffle gives each
    visible patch its own vector, in the order of the cells.

    Args:
        in_dims: Width of the encoder's last stage.
        num_patches: Mask patches of an image, rows * cols (256 at 256 px).
        patch_size: Side of a mask patch in pixels.
        embed_dims: Width of the decoder.
        depth: Transformer blocks.
        num_heads: Heads of a block.
        in_channels: Channels of the image.
        upscale: Visible patches along a side that one encoder token stands for.
        decoder_pos_order: 'cell' gives every visible patch the position embedding of its
            own place. 'raster' gives them in raster order of the whole grid, as the
            official code does, which is another patch's for about 75 % of them; needed to
            reconstruct with official weights.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: ``decoder_pos_order`` is neither.

    Source: UM-MAE, arXiv:2205.10063, official pyramid decoder.
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
        upscale: int = 2,
        decoder_pos_order: str = 'cell',
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if decoder_pos_order not in POSITION_ORDERS:
            raise ConfigError(
                f'UMMAEPyramidDecoder: decoder_pos_order {decoder_pos_order!r} must be one of '
                f'{POSITION_ORDERS}.'
            )
        self.decoder_pos_order = decoder_pos_order
        self.upscale = upscale
        side = round(num_patches**0.5)
        norm_cfg = dict(type='LN', eps=1e-6)
        self.decoder_embed = nn.Linear(in_dims, upscale**2 * embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        self.decoder_pos_embed = nn.Parameter(
            sincos_position_embedding((side, side), embed_dims)[None], requires_grad=False
        )
        self.decoder_blocks = nn.ModuleList(
            TransformerEncoderLayer(
                embed_dims, num_heads, feedforward_channels=4 * embed_dims, norm_cfg=norm_cfg
            )
            for _ in range(depth)
        )
        self.ln1 = nn.LayerNorm(embed_dims, eps=1e-6)
        self.decoder_pred = nn.Linear(embed_dims, patch_size**2 * in_channels)

    def init_weights(self) -> None:
        """Xavier for linear layers; the mask token is normal with deviation 0.02."""
        super().init_weights()
        self.apply(init_ummae_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, latent: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Predict.

        Args:
            latent: (B, C, rows / 4, cols / 4), the encoder's last map.
            mask: (B, rows, cols) bool, True = not sampled.

        Returns:
            (B, hidden patches, patch_size ** 2 * channels), the patches that were not
            sampled, in raster order.
        """
        b, rows, cols = mask.shape
        if rows * cols != self.decoder_pos_embed.shape[1]:
            raise ConfigError(
                f'UMMAEPyramidDecoder: masks of {rows}x{cols} patches, but num_patches is '
                f'{self.decoder_pos_embed.shape[1]}. Make input_size of the mask, img size and '
                'num_patches agree.'
            )
        x = self.decoder_embed(latent.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        visible = F.pixel_shuffle(x, self.upscale).flatten(2).transpose(1, 2)
        position = self.decoder_pos_embed.expand(b, -1, -1)
        width = position.shape[-1]
        hidden_position = position[mask.flatten(1)].reshape(b, -1, width)
        if self.decoder_pos_order == 'cell':
            cells = CompactGrid.from_mask(mask)
            visible_position = cells.gather(position.reshape(b, rows, cols, width)).flatten(1, 2)
        else:
            visible_position = position[~mask.flatten(1)].reshape(b, -1, width)
        # Attention is global: only the position embeddings tell tokens apart, not their order.
        num_hidden = hidden_position.shape[1]
        queries = (self.mask_token + hidden_position).to(visible.dtype)
        x = torch.cat((visible + visible_position, queries), dim=1)
        for block in self.decoder_blocks:
            x = block(x)
        return self.decoder_pred(self.ln1(x[:, -num_hidden:]))
