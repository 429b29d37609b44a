"""timm's own models: the ViT, BEiT and Swin families."""

from collections.abc import Mapping
from dataclasses import replace

import torch

from mim_bench.conversion.files import SIDECAR, meta_of
from mim_bench.conversion.key_table import Converted, KeyTable, Rules
from mim_bench.conversion.resizing.position_embedding import square_side
from mim_bench.conversion.resizing.relative_bias import INDEX, TABLE
from mim_bench.conversion.source import Fit, Network, Source, StateDict, is_under_model
from mim_bench.conversion.swin_keys import (
    MERGING_PART,
    OFFICIAL_ORDER,
    is_swin,
    last_norm_rule,
    merges_at_the_start,
    swin_stage_rules,
)
from mim_bench.conversion.timm_models import read_settings
from mim_bench.conversion.vit_keys import (
    CLASSIFIER_RULES,
    ENDING,
    beit_rules,
    check_positions,
    is_beit,
    is_plain_vit,
)
from mim_bench.errors import ConversionError

_VIT_RULES: Rules = (
    *beit_rules(),
    (r'blocks\.(\d+)\.ls([12])\.gamma', r'backbone.layers.\1.gamma_\2'),
    *CLASSIFIER_RULES,
)
_SWIN_RULES: Rules = (
    *swin_stage_rules(),
    (
        rf'layers\.(\d+)\.downsample\.{MERGING_PART}',
        lambda stage, part: f'backbone.stages.{int(stage) - 1}.downsample.{part}',
    ),
    (rf'head\.fc{ENDING}', r'head.fc.\1'),
)


def _detect(state: StateDict, content: Mapping) -> Fit:
    """What ``--to timm`` wrote, a Swin that merges at a stage's start, or a ``ls1``.

    A plain ViT is MAE's to the last key, and a BEiT is the official one but for an index that
    timm does not store. timm's files hold the weights bare or under ``state_dict``; under
    ``model`` stand those of other repositories. The settings of a timm folder name the network.
    """
    if meta_of(content).get('layout') == 'timm' or (content.get(SIDECAR) or {}).get('architecture'):
        return Fit.MARK
    if 'mask_token' in state and 'blocks.0.ls1.gamma' in state:  # DINOv2's
        return Fit.NO
    if is_swin(state):
        is_timm = merges_at_the_start(state) or 'head.fc.weight' in state
        return Fit.MARK if is_timm else Fit.NO
    if 'blocks.0.ls1.gamma' in state:
        return Fit.MARK
    if is_beit(state):
        is_bare = not is_under_model(content) and not any(key.endswith(INDEX) for key in state)
        is_pretraining = {'mask_token', 'lm_head.weight'} & set(state)
        return Fit.LAYOUT if is_bare and not is_pretraining else Fit.NO
    tokens = {'vis_mask_token', 'decoder_embed.weight', 'norm.0.weight'}
    if not is_plain_vit(state) or tokens & set(state):
        return Fit.NO
    is_class_token_classifier = 'head.weight' in state and 'fc_norm.weight' not in state
    return Fit.LAYOUT if is_class_token_classifier or not is_under_model(content) else Fit.NO


def _network(state: StateDict, content: Mapping, where: str) -> Network | None:
    """The network that the settings beside the file name; None where there are none."""
    model = read_settings(content)
    return None if model is None else (model, dict(state))


def _rename(state: StateDict, where: str) -> Converted:
    """To mmpretrain's names; a class token without a position gets one of zeros.

    Raises:
        ConversionError: The network cannot be told from these names.
    """
    if not is_swin(state):
        check_positions(state, where)
        _check_kind(state, where)
    rules = (*_SWIN_RULES, *last_norm_rule(state)) if is_swin(state) else _VIT_RULES
    return _with_class_position(KeyTable('timm', rules).apply(state, where))


def _check_kind(state: StateDict, where: str) -> None:
    """Refuse names that networks of timm share which compute otherwise: EVA's, Qwen3's, SigLIP's.

    BEiT's have tables of relative positions, and the layer scales of ViTs are called ``ls1``.
    """
    has_table = any(key.endswith(TABLE) for key in state)
    is_eva = {'blocks.0.attn.q_bias', 'blocks.0.gamma_1'} & set(state) and not has_table
    if is_eva or (not has_table and 'cls_token' not in state):
        raise ConversionError(
            f'{where}: several networks of timm have weights of these names and compute otherwise: '
            'with rotary positions besides, another activation, or norms behind the layers. Name '
            'the network: --timm NAME.'
        )


def _with_class_position(converted: Converted) -> Converted:
    """DeiT III adds positions to the patches before the class token joins them: (1, h * w, C)."""
    positions = converted.backbone.get('backbone.pos_embed')
    if positions is None or 'backbone.cls_token' not in converted.backbone:
        return converted
    # A square may be one more than an oblong grid: 225 = 15 x 15 = 1 + 14 x 16. DeiT III has
    # layer scales; without them the class token has its position, as in all other networks.
    is_square = square_side(positions.shape[1]) is not None
    if not is_square or 'backbone.layers.0.gamma_1' not in converted.backbone:
        return converted
    full = torch.cat((torch.zeros_like(positions[:, :1]), positions), dim=1)
    return replace(
        converted,
        backbone={**converted.backbone, 'backbone.pos_embed': full},
        expanded=['backbone.pos_embed'],
    )


SOURCES = (
    Source(
        name='timm',
        detect=_detect,
        rename=_rename,
        network=_network,
        merge_orders=OFFICIAL_ORDER,
        pos_resize={'antialias': True},
    ),
)
