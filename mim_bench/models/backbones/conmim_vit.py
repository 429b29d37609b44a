"""ConMIM's encoder: BEiT's vision transformer with mask tokens and one table of position biases."""

import math

import torch
from mmpretrain.models.selfsup.beit import BEiTPretrainViT
from mmpretrain.models.utils import resize_pos_embed
from torch import nn
from torch.utils.checkpoint import checkpoint

from mim_bench.errors import ConfigError
from mim_bench.models.backbones.beit_blocks import forward_block
from mim_bench.registry import MODELS

STD = 0.02


@MODELS.register_module()
class ConMIMViT(BEiTPretrainViT):
    """mmpretrain's :class:`BEiTPretrainViT` with ConMIM's initialisation, and faster.

    State-dict keys are mmpretrain's, so the result loads into its ``BEiTViT``, which copies
    the shared table to every block.

    Args:
        arch: A name or a dictionary of mmpretrain's ``BEiTViT``. ConMIM's ViT-S is
            'deit-small', B 'base', L 'large'; 'small' is another network there.
        with_cp: Recompute the blocks in the backward pass to save memory.
        **kwargs: Of ``BEiTPretrainViT``: ``img_size``, ``patch_size``, ``drop_path_rate``,
            ``layer_scale_init_value`` (0.1; 1e-5 for ViT-L), ``use_abs_pos_emb`` and
            ``use_shared_rel_pos_bias`` (the recipe has the table only), ...

    Raises:
        ConfigError: ``use_rel_pos_bias`` asks for a table in each block.

    Source: ConMIM, arXiv:2205.09616; TencentARC/ConMIM@4263955, modeling_pretrain.py.
    Differs: no ``lm_head``, which the official network has and does not use (6.30 M of its
    112.95 M parameters at ViT-B).
    """

    def __init__(
        self, arch: str | dict = 'base', *, with_cp: bool = False, **kwargs: object
    ) -> None:
        if kwargs.get('use_rel_pos_bias'):
            raise ConfigError(
                'ConMIMViT: use_rel_pos_bias asks for a table in each block; pre-training has '
                'one for all blocks. Set use_shared_rel_pos_bias.'
            )
        super().__init__(arch, **kwargs)
        self.with_cp = with_cp

    def init_weights(self) -> None:
        """BEiT's: truncated normal at one deviation, deeper projections smaller, tables zero."""
        if isinstance(self.init_cfg, dict) and self.init_cfg['type'] == 'Pretrained':
            super().init_weights()
            return
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                _truncated_normal(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for token in (self.cls_token, self.mask_token, self.pos_embed):
            if token is not None:
                _truncated_normal(token)
        for depth, layer in enumerate(self.layers, start=1):
            for linear in (layer.attn.proj, layer.ffn.layers[1]):
                linear.weight.data /= math.sqrt(2 * depth)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        """Encode.

        Args:
            x: Images (B, C, H, W) of the size that the network was built for.
            mask: (B, rows, cols) bool over the patches, True = hidden: the mask token stands
                in their place. None: the full image.

        Returns:
            With a mask one tensor (B, 1 + rows * cols, C), the class token first, after the
            last norm if there is one. Without: an output for each of ``out_indices``, as
            ``out_type`` says ('raw': the same tokens).

        Raises:
            ConfigError: ``mask`` does not have the grid of the patches.
        """
        tokens, grid = self.embed(x, mask)
        outputs = []
        bias = self.rel_pos_bias()[None] if self.rel_pos_bias is not None else None
        for i, layer in enumerate(self.layers):
            if self.with_cp and tokens.requires_grad:
                tokens = checkpoint(forward_block, layer, tokens, bias, use_reentrant=False)
            else:
                tokens = forward_block(layer, tokens, bias)
            if i == len(self.layers) - 1 and self.final_norm:
                tokens = self.ln1(tokens)
            if i in self.out_indices and mask is None:
                outputs.append(self._format_output(tokens, grid))
        return tuple(outputs) if mask is None else (tokens,)

    def embed(
        self, images: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, tuple[int, int]]:
        """What enters the first block: tokens (B, 1 + rows * cols, C), and the grid."""
        tokens, grid = self.patch_embed(images)
        if mask is not None:
            if tuple(mask.shape) != (len(images), *grid):
                raise ConfigError(
                    f'ConMIMViT: a mask of {tuple(mask.shape)} for {len(images)} images of '
                    f'{tuple(grid)} patches. Give the transform of the mask the size of the '
                    'images and of their patches.'
                )
            tokens = torch.where(mask.flatten(1)[..., None], self.mask_token, tokens)
        # Under autocast the patches are float16, the tokens and so the sums of the blocks float32.
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        if self.pos_embed is not None:
            tokens = tokens + resize_pos_embed(
                self.pos_embed, self.patch_resolution, grid, self.interpolate_mode, 1
            )
        return self.drop_after_pos(tokens), grid


def _truncated_normal(parameter: torch.Tensor) -> None:
    """Cut at one deviation, so that the deviation that remains is 0.0108."""
    nn.init.trunc_normal_(parameter, std=STD, a=-STD, b=STD)
