"""Names of the ViT blocks of timm and BEiT, in which official repositories write transformers."""

import re
from collections.abc import Callable, Mapping

import torch

from mim_bench.conversion.key_table import Rules, Target
from mim_bench.conversion.resizing.relative_bias import INDEX, TABLE
from mim_bench.errors import ConversionError

ENDING = r'\.(weight|bias)'
MLP_PARTS = {'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}
_SHARED = 'rel_pos_bias'
_BEIT_PARTS = rf'attn\.(?:q_bias|v_bias|{TABLE}|{INDEX})|gamma_[12]'
# To mmpretrain's transformer layers.
VIT_PARTS = {
    'norm1': 'ln1',
    'norm2': 'ln2',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    **MLP_PARTS,
}
# Of a fine-tuned ViT: the norm over the averaged patches, and the linear layer.
CLASSIFIER_RULES: Rules = (
    (rf'fc_norm{ENDING}', r'backbone.ln2.\1'),
    (rf'head{ENDING}', r'head.fc.\1'),
)


def block_rule(
    blocks: str, place: str | Callable[..., str], parts: Mapping[str, str] = VIT_PARTS
) -> tuple[str, Target]:
    r"""A rule for the weights of blocks.

    Args:
        blocks: Pattern of what stands before a block's parts, with groups for its numbers,
            for example ``r'blocks\.(\d+)'``.
        place: The canonical name of the block: a format string for the groups, such as
            ``'backbone.layers.{}'``, or a function of them.
        parts: The source's parts of a block and their canonical names.
    """
    names = '|'.join(re.escape(part) for part in parts)
    name_of = place if callable(place) else place.format
    return (
        rf'{blocks}\.({names}){ENDING}',
        lambda *groups: f'{name_of(*groups[:-2])}.{parts[groups[-2]]}.{groups[-1]}',
    )


def vit_rules(prefix: str = '') -> Rules:
    """Rules for a plain ViT, its last norm included; ``prefix`` stands before every key."""
    prefix = re.escape(prefix)
    return (
        (rf'{prefix}(cls_token|pos_embed)', r'backbone.\1'),
        (rf'{prefix}patch_embed\.proj{ENDING}', r'backbone.patch_embed.projection.\1'),
        block_rule(rf'{prefix}blocks\.(\d+)', 'backbone.layers.{}'),
        (rf'{prefix}norm{ENDING}', r'backbone.ln1.\1'),
    )


def mae_decoder_rules() -> Rules:
    """Rules for MAE's decoder, which UM-MAE shares, to mmpretrain's ``MAEPretrainDecoder``."""
    return (
        (r'(mask_token|decoder_pos_embed)', r'neck.\1'),
        (rf'(decoder_embed|decoder_pred){ENDING}', r'neck.\1.\2'),
        (rf'decoder_norm{ENDING}', r'neck.ln1.\1'),
        block_rule(r'decoder_blocks\.(\d+)', 'neck.decoder_blocks.{}'),
    )


def is_plain_vit(state: Mapping[str, torch.Tensor]) -> bool:
    """Blocks of a ViT with a full bias and absolute positions, as MAE and its followers have.

    Hiera's file has the same names, and projections beside the blocks that begin a stage.
    """
    wanted = {'pos_embed', 'patch_embed.proj.weight', 'blocks.0.attn.qkv.bias'}
    others = {'blocks.0.attn.posmlp.0.weight', 'blocks.0.attn.relative_position_bias_table'}
    is_pyramid = any(re.fullmatch(r'blocks\.\d+\.proj\.weight', key) for key in state)
    return wanted <= set(state) and not others & set(state) and not is_pyramid


def is_mean_pooled(state: Mapping[str, torch.Tensor]) -> bool:
    """A plain ViT that was fine-tuned on the average of its patches."""
    return is_plain_vit(state) and {'cls_token', 'fc_norm.weight'} <= set(state)


def beit_rules(prefix: str = '') -> Rules:
    """Rules for BEiT's encoder, its last norm included; a shared table stays shared."""
    escaped = re.escape(prefix)
    return (
        *vit_rules(prefix),
        (rf'{escaped}blocks\.(\d+)\.({_BEIT_PARTS})', r'backbone.layers.\1.\2'),
        (rf'{escaped}({_SHARED}\.(?:{TABLE}|{INDEX}))', r'backbone.\1'),
    )


def is_beit(state: Mapping[str, torch.Tensor], prefix: str = '') -> bool:
    """Blocks with biases of queries and values alone, or with relative positions.

    EVA-02's have gated MLPs.
    """
    block = f'{prefix}blocks.0.attn.'
    marks = (f'{block}q_bias', f'{block}{TABLE}', f'{prefix}{_SHARED}.{TABLE}')
    wanted = {f'{block}qkv.weight', f'{prefix}blocks.0.mlp.fc1.weight'}
    return wanted <= set(state) and any(mark in state for mark in marks)


def is_official_beit(state: Mapping[str, torch.Tensor]) -> bool:
    """BEiT's layout as the official repositories store it: a table comes with its index.

    timm, which has the same names, computes the index and does not store it.
    """
    tables = (f'blocks.0.attn.{TABLE}', f'{_SHARED}.{TABLE}')
    return is_beit(state) and all(
        table.replace(TABLE, INDEX) in state for table in tables if table in state
    )


def check_positions(state: Mapping[str, torch.Tensor], where: str) -> None:
    """Refuse blocks without any position in the file.

    Raises:
        ConversionError: The positions may be rotary.
    """
    has_positions = any(key.endswith(('pos_embed', TABLE)) for key in state)
    if any(key.endswith('blocks.0.norm1.weight') for key in state) and not has_positions:
        raise ConversionError(
            f'{where}: has blocks of a transformer and no positions, so its positions may be '
            'rotary, which leaves no trace in the weights. Name the network: --timm NAME.'
        )
