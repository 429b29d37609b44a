"""HTC++'s layer of global attention between backbone and neck."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.models.layers.base import OwnWeights
from mim_bench.models.layers.transformer import TransformerBlock
from mim_bench.registry import MODELS

HEAD_DIMS = 32
INIT_STD = 0.02
NORM_EPS = 1e-5  # of all three norms


@MODELS.register_module()
class GlobalAttention(OwnWeights, BaseModule):
    """One transformer block over all positions of the coarsest map; other maps pass through.

    Pre-norm self-attention and MLP, each with drop path, then a LayerNorm. There are no position
    embeddings, so a permutation of the positions permutes the output.

    At the start the block adds little (weights are normal with deviation 0.02, biases zero), so
    the output is nearly the LayerNorm of the input.

    Args:
        in_channels: Channels C of the last map.
        num_heads: Heads; C / 32 by default.
        feedforward_ratio: Width of the MLP's hidden layer over C.
        drop_path_rate: Stochastic depth of both branches.
        with_cp: Recompute the block in the backward pass.
        init_cfg: Initialisation of mmengine.

    Raises:
        ConfigError: The heads do not divide the channels.

    Source: Swin, arXiv:2103.14030, appendix A2.2 ("extra attention"); its form, its norms and its
    initialisation are those of czczup/ViT-Adapter@fd64a51, ``extra_attention.py``.
    """

    def __init__(
        self,
        in_channels: int,
        *,
        num_heads: int | None = None,
        feedforward_ratio: int = 4,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        init_cfg: dict | list | None = None,
    ) -> None:
        super().__init__(init_cfg)
        num_heads = num_heads or max(1, in_channels // HEAD_DIMS)
        if in_channels % num_heads:
            raise ConfigError(
                f'GlobalAttention: {num_heads} heads do not divide {in_channels} channels. Set '
                'num_heads.'
            )
        self.block = TransformerBlock(
            in_channels,
            num_heads,
            feedforward_ratio * in_channels,
            drop_path=drop_path_rate,
            with_cp=with_cp,
            norm_eps=NORM_EPS,
        )
        self.norm = nn.LayerNorm(in_channels, eps=NORM_EPS)

    def init_own_weights(self) -> None:
        """Initialise the linear layers."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=INIT_STD)
                nn.init.zeros_(module.bias)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Apply the block to the last map.

        Args:
            inputs: Maps (B, C_i, H_i, W_i); the last one has ``in_channels``.

        Returns:
            The maps, the last one replaced by another of the same shape.
        """
        *finer, last = inputs
        tokens = last.flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, H * W, C)
        tokens = self.norm(self.block(tokens))
        return (*finer, tokens.transpose(1, 2).reshape(last.shape).contiguous())
