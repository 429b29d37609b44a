"""A light decoder that gives every hidden patch a token, for encoders that leave them out."""

import torch
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.masking.token_order import split_by_mask, take_tokens
from mim_bench.models.backbones.block_queries import forward_block, forward_queries
from mim_bench.models.mae_init import init_mae_weights
from mim_bench.registry import MODELS


@MODELS.register_module()
class HiddenPatchDecoder(BaseModule):
    """MAE's decoder without its last linear layer, evaluated at the hidden patches only.

    Args:
        in_dims: Width of the encoder.
        grid: Patches of an image as (rows, cols).
        embed_dims: Width of the decoder and of what it returns.
        depth: Transformer blocks.
        num_heads: Heads of a block.
        init_cfg: Initialisation of mmengine.

    Source: MAE, arXiv:2111.06377. Differs: the last block and norm leave out the visible
    patches, which get no loss; the numbers of the hidden ones are the same.
    """

    def __init__(
        self,
        in_dims: int,
        grid: tuple[int, int],
        *,
        embed_dims: int = 512,
        depth: int = 8,
        num_heads: int = 16,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.embed = nn.Linear(in_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        table = sincos_position_embedding(tuple(grid), embed_dims)
        self.pos_embed = nn.Parameter(table[None], requires_grad=False)
        self.layers = nn.ModuleList(
            TransformerEncoderLayer(
                embed_dims, num_heads, 4 * embed_dims, norm_cfg=dict(type='LN', eps=1e-6)
            )
            for _ in range(depth)
        )
        self.ln1 = nn.LayerNorm(embed_dims, eps=1e-6)

    def init_weights(self) -> None:
        """Xavier for linear layers; the mask token is normal with deviation 0.02."""
        super().init_weights()
        self.apply(init_mae_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Decode.

        Args:
            tokens: (B, 1 + visible, in_dims): class token, visible patches in raster order.
            mask: (B, rows, cols) bool, True = hidden, the same number in every sample.

        Returns:
            (B, hidden, embed_dims) in raster order.
        """
        x = self.embed(tokens)
        first_hidden = x.shape[1]
        visible, hidden = split_by_mask(mask, num_visible=first_hidden - 1)
        seen = x[:, 1:] + take_tokens(self.pos_embed, visible)
        queries = (self.mask_token + take_tokens(self.pos_embed, hidden)).to(seen.dtype)
        x = torch.cat((x[:, :1].to(seen.dtype), seen, queries), dim=1)
        *layers, last = self.layers
        for layer in layers:
            x = forward_block(layer, x)
        return self.ln1(forward_queries(last, x, x[:, first_hidden:]))
