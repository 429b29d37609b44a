"""UM-MAE's official checkpoints: Swin, PVT and ViT, pre-trained or fine-tuned."""

import re
from collections.abc import Mapping

from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.source import Fit, Source, StateDict
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    MLP_PARTS,
    block_rule,
    is_mean_pooled,
    is_plain_vit,
    mae_decoder_rules,
    vit_rules,
)
from mim_bench.errors import ConversionError

_PYRAMID_PARTS = {
    'swin': {
        **{part: f'attn.w_msa.{part[5:]}' for part in ('attn.qkv', 'attn.proj')},
        **{f'attn.posmlp.{i}': f'attn.w_msa.posmlp.{i}' for i in (0, 2)},
    },
    'pvt': {f'attn.{part}': f'attn.{part}' for part in ('q', 'kv', 'proj', 'sr', 'norm')},
}
# The repository's own SimMIM puts its mask token into the image, MAE's into the decoder; its
# decoder is one layer, mmpretrain's.
_SIMMIM: Rules = (
    (r'mask_token', 'backbone.mask_token'),
    (rf'decoder_pred{ENDING}', r'neck.decoder.0.\1'),
)


def kind_of(state: StateDict) -> str | None:
    """'swin', 'pvt' or 'vit'; None for another format."""
    if 'blocks.0.attn.posmlp.0.weight' in state:
        return 'swin'
    if 'blocks.0.attn.sr.weight' in state:
        return 'pvt'
    if {'vis_mask_token', 'blocks.0.attn.qkv.weight'} <= set(state) or is_plain_vit(state):
        return 'vit'
    return None


def _detect(state: StateDict, content: Mapping) -> Fit:
    """Position MLP, pooled attention in flat blocks, secondary mask token: this format's alone.

    A ViT pre-trained without the secondary mask token has the layout of MAE's files and is
    left to them; a fine-tuned one is MAE's to the last key.
    """
    kind = kind_of(state)
    if kind in _PYRAMID_PARTS or (kind == 'vit' and 'vis_mask_token' in state):
        return Fit.MARK
    return Fit.LAYOUT if is_mean_pooled(state) else Fit.NO


def is_simmim(state: StateDict) -> bool:
    """The repository's SimMIM baseline: a mask token, but neither a second one nor a decoder."""
    tokens = {'vis_mask_token', 'decoder_embed.weight'}
    return 'mask_token' in state and not tokens & set(state)


def _rename(state: StateDict, where: str) -> Converted:
    """Rename the keys; the stages are found by the downsampling that opens each."""
    kind = kind_of(state)
    if kind is None:
        raise ConversionError(
            f'{where}: is not a checkpoint of UM-MAE (it has no position MLP, pooled attention or '
            'ViT). Name the right --source.'
        )
    rules = (
        *(_SIMMIM if is_simmim(state) else ()),
        (r'vis_mask_token', 'backbone.vis_mask_token'),
        *(vit_rules() if kind == 'vit' else _pyramid_rules(state, _PYRAMID_PARTS[kind])),
        *(CLASSIFIER_RULES if kind == 'vit' else ()),
        *mae_decoder_rules(),
    )
    return KeyTable('ummae', rules).apply(state, where)


def _pyramid_rules(state: StateDict, attention: dict[str, str]) -> Rules:
    starts = _stage_starts(state)

    def stage_of(block: str) -> int:
        return max(s for s, start in enumerate(starts) if start <= int(block))

    def place(block: str) -> str:
        stage = stage_of(block)
        return f'backbone.stages.{stage}.blocks.{int(block) - starts[stage]}'

    parts = {'norm1': 'norm1', 'norm2': 'norm2', **attention, **MLP_PARTS}
    return (
        (rf'patch_embed\.proj{ENDING}', r'backbone.patch_embed.projection.\1'),
        (rf'patch_embed\.norm{ENDING}', r'backbone.patch_embed.norm.\1'),
        (r'pos_embed', 'backbone.pos_embed'),
        block_rule(r'blocks\.(\d+)', place, parts),
        (
            r'blocks\.(\d+)\.downsample\.(.+)',
            lambda block, part: f'backbone.stages.{stage_of(block)}.downsample.{part}',
        ),
        (rf'norm{ENDING}', r'backbone.norm.\1'),
        (rf'fc_norm{ENDING}', r'neck.norm.\1'),
        (rf'head{ENDING}', r'head.fc.\1'),
    )


def _stage_starts(state: StateDict) -> list[int]:
    starts = {int(m[1]) for key in state if (m := re.match(r'blocks\.(\d+)\.downsample\.', key))}
    if not starts:
        raise ConversionError(
            'ummae: no block has a downsampling, so the stages are not known. Check that the file '
            'is complete.'
        )
    return [0, *sorted(starts)]


SOURCES = (
    Source(
        name='ummae',
        detect=_detect,
        rename=_rename,
        method=lambda state: 'simmim' if is_simmim(state) else 'ummae',
        licence='CC-BY-NC-4.0',
    ),
)
