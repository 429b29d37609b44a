"""ConMIM's official checkpoints: student or teacher as pre-trained, or fine-tuned."""

from collections.abc import Mapping

import torch

from mim_bench.conversion.key_table import Converted, KeyTable
from mim_bench.conversion.source import Source
from mim_bench.conversion.vit_keys import ENDING, block_rule, num_blocks, num_heads

# Layers of the official projector, a Sequential, as mmpretrain's NonLinearNeck names them.
_PROJECTOR = {'0': 'fc0', '1': 'bn0', '3': 'fc1', '4': 'bn1', '6': 'fc2', '7': 'bn2'}
_BIAS_TABLE = 'relative_position_bias_table'


def detect(state: Mapping[str, torch.Tensor]) -> bool:
    """The projector is this format's alone; a fine-tuned file is BEiT's to the last key."""
    return 'projectors.0.weight' in state and 'blocks.0.attn.qkv.weight' in state


def architecture(state: Mapping[str, torch.Tensor]) -> dict:
    """Sizes of the encoder, and which positions it knows, as ``ConMIMViT`` takes them."""
    dims = state['cls_token'].shape[-1]
    shared = f'rel_pos_bias.{_BIAS_TABLE}'
    tables = [value for key, value in state.items() if key.endswith(_BIAS_TABLE)]
    heads = tables[0].shape[1] if tables else num_heads(dims)
    return {
        'embed_dims': dims,
        'num_layers': num_blocks(state),
        'num_heads': heads,
        'feedforward_channels': state['blocks.0.mlp.fc1.weight'].shape[0],
        'use_abs_pos_emb': 'pos_embed' in state,
        'use_shared_rel_pos_bias': shared in state,
        'use_rel_pos_bias': bool(tables) and shared not in state,
    }


def convert(state: Mapping[str, torch.Tensor], where: str) -> Converted:
    """Rename the keys of either network; the other one is in another file."""
    layers = '|'.join(_PROJECTOR)
    table = KeyTable(
        'conmim',
        (
            (r'(cls_token|mask_token|pos_embed)', r'backbone.\1'),
            (rf'patch_embed\.proj{ENDING}', r'backbone.patch_embed.projection.\1'),
            (r'(rel_pos_bias\..+)', r'backbone.\1'),
            block_rule(r'blocks\.(\d+)', 'backbone.layers.{}'),
            (
                r'blocks\.(\d+)\.(attn\.(?:q_bias|v_bias|relative_position_.+)|gamma_[12])',
                r'backbone.layers.\1.\2',
            ),
            (rf'norm{ENDING}', r'backbone.ln1.\1'),
            (
                rf'projectors\.({layers})\.(.+)',
                lambda layer, leaf: f'neck.{_PROJECTOR[layer]}.{leaf}',
            ),
            (rf'fc_norm{ENDING}', r'backbone.ln2.\1'),
            (rf'head{ENDING}', r'head.fc.\1'),
            # Always in the file, never in the loss.
            (rf'lm_head{ENDING}', None),
        ),
    )
    return table.apply(state, where)


SOURCE = Source(
    name='conmim',
    method='conmim',
    backbone_type='mmpretrain.BEiTViT',
    licence=None,
    detect=detect,
    architecture=architecture,
    convert=convert,
)
