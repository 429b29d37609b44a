"""Names of timm's ViT blocks, in which every official repository writes its transformers."""

import re
from collections.abc import Callable, Mapping

import torch

from mim_bench.conversion.key_table import Target

ENDING = r'\.(weight|bias)'
MLP_PARTS = {'mlp.fc1': 'ffn.layers.0.0', 'mlp.fc2': 'ffn.layers.1'}
# To mmpretrain's transformer layers.
VIT_PARTS = {
    'norm1': 'ln1',
    'norm2': 'ln2',
    'attn.qkv': 'attn.qkv',
    'attn.proj': 'attn.proj',
    **MLP_PARTS,
}
_HEAD_DIMS = 64


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


def num_blocks(state: Mapping[str, torch.Tensor]) -> int:
    """How many blocks ``blocks.0`` to ``blocks.n`` a file has."""
    blocks = {int(m[1]) for key in state if (m := re.match(r'blocks\.(\d+)\.', key))}
    return max(blocks) + 1


def num_heads(dims: int) -> int:
    """Not in the weights of a plain ViT: a head is 64 wide (inferred for other sizes)."""
    return max(dims // _HEAD_DIMS, 1)
