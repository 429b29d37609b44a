"""The transformer part of LocalMIM's decoders, which ViT and Swin share."""

import torch
from mmengine.model import BaseModule
from mmpretrain.models.backbones.vision_transformer import TransformerEncoderLayer
from torch import nn
from torch.nn import functional as F

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.masking.token_order import take_tokens
from mim_bench.models.backbones.block_queries import forward_block, forward_queries
from mim_bench.models.linear import Linear
from mim_bench.models.mae_init import init_mae_weights


class LocalMIMDecoderBlock(BaseModule):
    """Visible features of one depth of the encoder to tokens of the whole grid.

    Norm of the task, linear layer, mask tokens at the hidden places, fixed positions,
    transformer blocks, norm. Attention does not know the order of its tokens, so they are
    never un-shuffled: every token gets the position of its own place. The last block computes
    queries, projection and MLP only for the places that are asked for.

    Args:
        in_dims: Width of the features.
        grid: Tokens of the whole grid as (rows, cols).
        embed_dims: Width of the decoder.
        num_heads: Heads of a block.
        depth: Blocks.
        class_token: Whether the features begin with a class token.
        init_cfg: Initialisation of mmengine.

    Source: LocalMIM, arXiv:2303.05251; Haoqing-Wang/LocalMIM@314a6e5. Differs: the task's
    norm (``encoder.norm.k`` there) is the decoder's first layer, so that the backbone has the
    keys of a plain one; tokens nobody asks for are left out of the last block.
    """

    def __init__(
        self,
        in_dims: int,
        grid: tuple[int, int],
        embed_dims: int,
        num_heads: int,
        *,
        depth: int = 1,
        class_token: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_prefix = int(class_token)
        norm_cfg = dict(type='LN', eps=1e-6)
        self.norm_in = nn.LayerNorm(in_dims, eps=1e-6)
        self.embed = Linear(in_dims, embed_dims)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, embed_dims))
        table = sincos_position_embedding(tuple(grid), embed_dims)
        prefix = torch.zeros(self.num_prefix, embed_dims)  # the class token has no place
        self.pos_embed = nn.Parameter(torch.cat((prefix, table))[None], requires_grad=False)
        self.blocks = nn.ModuleList(
            TransformerEncoderLayer(
                embed_dims, num_heads, feedforward_channels=4 * embed_dims, norm_cfg=norm_cfg
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embed_dims, eps=1e-6)

    def init_weights(self) -> None:
        """Xavier for linear layers; the mask token is normal with deviation 0.02."""
        super().init_weights()
        self.apply(init_mae_weights)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self, features: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        """Decode the hidden places.

        Args:
            features: (B, prefix + visible, in_dims), not normalised, class token first.
            visible: (B or 1, visible) int64, the place in the grid (raster order) of each
                visible token, in the order of ``features``.
            hidden: (B or 1, hidden) int64, all other places, in any order.

        Returns:
            (B, hidden, embed_dims), normalised, in the order of ``hidden``.
        """
        return self._decode(features, visible, hidden, hidden.shape[1])

    def decode_all(
        self, features: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor
    ) -> torch.Tensor:
        """Decode every place: as :meth:`forward`, but (B, rows * cols, D) in raster order."""
        num_places = visible.shape[1] + hidden.shape[1]
        tokens = self._decode(features, visible, hidden, num_places)
        return take_tokens(tokens, torch.cat((visible, hidden), dim=1).argsort(1))

    def _decode(
        self, features: torch.Tensor, visible: torch.Tensor, hidden: torch.Tensor, num_out: int
    ) -> torch.Tensor:
        """The last ``num_out`` of: class token, visible tokens, hidden tokens."""
        known = self.embed(self.norm_in(features))
        n = self.num_prefix
        places = F.pad(visible + n, (n, 0))  # the class token stands at place 0
        known = known + take_tokens(self.pos_embed, places)
        guesses = self.mask_token + take_tokens(self.pos_embed, hidden + n)
        guesses = guesses.to(known.dtype).expand(len(known), -1, -1)
        tokens = torch.cat((known, guesses), dim=1)
        for block in self.blocks[:-1]:
            tokens = forward_block(block, tokens)
        wanted = tokens[:, tokens.shape[1] - num_out :]
        return self.norm(forward_queries(self.blocks[-1], tokens, wanted))
