"""Layer decay of four backbones in three libraries, every layer's place written out.

The rates are those of published recipes: 0.85 for Swin-T, UM-MAE's Swin-T and PVT-S (UM-MAE's
fine-tuning), 0.65 for ViT-B (LocalMIM's, 1600 epochs). The factor of layer i of n blocks is
rate ** (n + 1 - i): i is 0 for the embedding, 1 for the first block, n + 1 for what follows the
last one. A standard Swin's downsampling follows its stage, those of UM-MAE's backbones lead
into the next one; each has the rate of the block beside it.
"""

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
LIBRARIES = {
    'mmpretrain': 'finetune_swin-toy_1xb64-coslr-4e_toy-in1k-64px.py',
    'mmseg': 'upernet_swin-toy_1xb4-200i_toy-ade20k-128px.py',
    'mmdet': 'mask-rcnn_swin-toy_1xb4-3e_toy-coco-128px.py',
}
# A layer between two bars; "0.1" is block 1 of stage 0, "0.d" the downsampling of that name.
SWIN = (
    'patch_embed | 0.0 | 0.1 0.d | 1.0 | 1.1 1.d | 2.0 | 2.1 | 2.2 | 2.3 | 2.4 | 2.5 2.d | 3.0 |'
    ' 3.1 | norm0 norm1 norm2 norm3'
)
UMMAE_SWIN = (
    'patch_embed | 0.0 | 0.1 | 1.d 1.0 | 1.1 | 2.d 2.0 | 2.1 | 2.2 | 2.3 | 2.4 | 2.5 | 3.d 3.0 |'
    ' 3.1 | norm'
)
UMMAE_PVT = (
    'pos_embed patch_embed | 0.0 | 0.1 | 0.2 | 1.d 1.0 | 1.1 | 1.2 | 1.3 | 2.d 2.0 | 2.1 | 2.2 |'
    ' 2.3 | 2.4 | 2.5 | 3.d 3.0 | 3.1 | 3.2 | norm'
)
VIT = ' | '.join(['cls_token pos_embed patch_embed', *(f'layers.{i}' for i in range(12)), 'ln1'])
# The network, its rate, its layers, and the factor of its first layer by pencil.
FAMILIES = {
    'swin-tiny': (
        dict(type='mim_bench.Swin', arch='tiny', out_indices=(0, 1, 2, 3), out_norms=True),
        *(0.85, SWIN, 0.120905),
    ),
    'ummae-swin-tiny': (
        dict(type='mim_bench.UMMAESwin', arch='tiny', final_norm=True),
        *(0.85, UMMAE_SWIN, 0.120905),
    ),
    'ummae-pvt-small': (
        dict(type='mim_bench.UMMAEPvt', arch='small', final_norm=True),
        *(0.85, UMMAE_PVT, 0.063113),
    ),
    'vit-base': (dict(type='mim_bench.ViT', arch='base'), 0.65, VIT, 0.003697),
}


def spelled(part: str) -> str:
    """The name of a part without its shorthand."""
    stage, _, place = part.partition('.')
    if not stage.isdigit():
        return part
    return f'stages.{stage}.downsample' if place == 'd' else f'stages.{stage}.blocks.{place}'


def factors(rate: float, layers: str) -> dict[str, float]:
    """The factor of each part of the network: the rate once for every layer that follows."""
    *lower, _ = columns = layers.split('|')
    return {
        spelled(part): rate ** (len(lower) - i)
        for i, column in enumerate(columns)
        for part in column.split()
    }


def groups_of(library: str, backbone: dict, rate: float) -> tuple[dict, list[dict]]:
    """Names of the trained parameters by parameter, and the optimiser's groups at a rate of 1."""
    cfg = load_config(str(DEMO / LIBRARIES[library]))
    cfg.model.backbone = backbone
    with torch.device('meta'):
        model = build_model(cfg)
    wrapper = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1),
        constructor='mim_bench.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=dict(layer_decay_rate=rate, norm_decay_mult=0.0, bias_decay_mult=0.0),
    )
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    return names, build_optim_wrapper(model, wrapper).optimizer.param_groups


def layer_of(name: str, table: dict[str, float]) -> str:
    """The one layer of the table that a parameter of the backbone belongs to."""
    (layer,) = (layer for layer in table if name == layer or name.startswith(f'{layer}.'))
    return layer


@pytest.mark.parametrize('library', LIBRARIES)
@pytest.mark.parametrize('family', FAMILIES)
def test_layer_decay_factors_are_those_of_the_layers_written_out(family, library):
    backbone, rate, layers, first = FAMILIES[family]
    table = factors(rate, layers)
    assert next(iter(table.values())) == pytest.approx(first, abs=1e-6)
    names, groups = groups_of(library, backbone, rate)
    found = {names[p]: group['lr'] for group in groups for p in group['params']}
    assert set(found) == set(names.values())
    own = {name.removeprefix('backbone.') for name in found if name.startswith('backbone.')}
    assert {layer_of(name, table) for name in own} == set(table)
    expected = {name: table[layer_of(name, table)] for name in own}
    assert {name: found[f'backbone.{name}'] for name in own} == pytest.approx(expected, abs=1e-6)
    # Necks and heads have the full rate.
    assert {rate for name, rate in found.items() if not name.startswith('backbone.')} == {1.0}
    # With and without weight decay: a group for each, not for each parameter.
    assert len(groups) <= 2 * len(set(table.values()))
