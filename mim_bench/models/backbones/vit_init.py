"""How a vision transformer starts from scratch: as MAE's or as BEiT's."""

import math

from torch import nn

from mim_bench.conversion.resizing.sincos import sincos_position_embedding
from mim_bench.models.mae_init import init_mae_weights

STD = 0.02


def init_mae_vit(backbone: nn.Module) -> None:
    """Xavier for linear layers and the patch embedding, a normal class token.

    Source: MAE, arXiv:2111.06377, official ``models_mae.py``.
    """
    backbone.apply(init_mae_weights)
    nn.init.xavier_uniform_(backbone.patch_embed.projection.weight.data.flatten(1))
    nn.init.zeros_(backbone.patch_embed.projection.bias)
    if backbone.cls_token is not None:
        nn.init.normal_(backbone.cls_token, std=STD)


def init_beit_vit(backbone: nn.Module) -> None:
    """Normal weights, those of deeper projections smaller; tables stay zero.

    Source: BEiT, arXiv:2106.08254, official ``modeling_finetune.py``.
    """
    for module in backbone.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.trunc_normal_(module.weight, std=STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if backbone.cls_token is not None:
        nn.init.trunc_normal_(backbone.cls_token, std=STD)
    for depth, layer in enumerate(backbone.layers, start=1):
        for linear in (layer.attn.proj, layer.ffn.layers[1]):
            linear.weight.data /= math.sqrt(2 * depth)


def init_positions(backbone: nn.Module) -> None:
    """Absolute positions as ``abs_pos`` says; 'learned' ones are truncated normal."""
    if backbone.pos_embed is None:
        return
    if backbone.abs_pos == 'learned':
        nn.init.trunc_normal_(backbone.pos_embed, std=STD)
        return
    table = backbone.pos_embed.data
    table.zero_()  # the class token has no place
    if backbone.abs_pos == 'zeros':
        return
    table[0, backbone.num_prefix_tokens :] = sincos_position_embedding(
        backbone.grid, backbone.embed_dims
    )
