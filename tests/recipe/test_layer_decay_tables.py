"""Layer decay of four backbones in three libraries, every layer's factor written out.

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
SWIN = {
    'patch_embed': 0.120905,
    'stages.0.blocks.0': 0.142242,
    'stages.0.blocks.1': 0.167343,
    'stages.0.downsample': 0.167343,
    'stages.1.blocks.0': 0.196874,
    'stages.1.blocks.1': 0.231617,
    'stages.1.downsample': 0.231617,
    'stages.2.blocks.0': 0.272491,
    'stages.2.blocks.1': 0.320577,
    'stages.2.blocks.2': 0.37715,
    'stages.2.blocks.3': 0.443705,
    'stages.2.blocks.4': 0.522006,
    'stages.2.blocks.5': 0.614125,
    'stages.2.downsample': 0.614125,
    'stages.3.blocks.0': 0.7225,
    'stages.3.blocks.1': 0.85,
    'norm0': 1.0,
    'norm1': 1.0,
    'norm2': 1.0,
    'norm3': 1.0,
}
UMMAE_SWIN = {
    'patch_embed': 0.120905,
    'stages.0.blocks.0': 0.142242,
    'stages.0.blocks.1': 0.167343,
    'stages.1.downsample': 0.196874,
    'stages.1.blocks.0': 0.196874,
    'stages.1.blocks.1': 0.231617,
    'stages.2.downsample': 0.272491,
    'stages.2.blocks.0': 0.272491,
    'stages.2.blocks.1': 0.320577,
    'stages.2.blocks.2': 0.37715,
    'stages.2.blocks.3': 0.443705,
    'stages.2.blocks.4': 0.522006,
    'stages.2.blocks.5': 0.614125,
    'stages.3.downsample': 0.7225,
    'stages.3.blocks.0': 0.7225,
    'stages.3.blocks.1': 0.85,
    'norm': 1.0,
}
UMMAE_PVT = {
    'pos_embed': 0.063113,
    'patch_embed': 0.063113,
    'stages.0.blocks.0': 0.074251,
    'stages.0.blocks.1': 0.087354,
    'stages.0.blocks.2': 0.10277,
    'stages.1.downsample': 0.120905,
    'stages.1.blocks.0': 0.120905,
    'stages.1.blocks.1': 0.142242,
    'stages.1.blocks.2': 0.167343,
    'stages.1.blocks.3': 0.196874,
    'stages.2.downsample': 0.231617,
    'stages.2.blocks.0': 0.231617,
    'stages.2.blocks.1': 0.272491,
    'stages.2.blocks.2': 0.320577,
    'stages.2.blocks.3': 0.37715,
    'stages.2.blocks.4': 0.443705,
    'stages.2.blocks.5': 0.522006,
    'stages.3.downsample': 0.614125,
    'stages.3.blocks.0': 0.614125,
    'stages.3.blocks.1': 0.7225,
    'stages.3.blocks.2': 0.85,
    'norm': 1.0,
}
VIT = {
    'cls_token': 0.003697,
    'pos_embed': 0.003697,
    'patch_embed': 0.003697,
    'layers.0': 0.005688,
    'layers.1': 0.008751,
    'layers.2': 0.013463,
    'layers.3': 0.020712,
    'layers.4': 0.031864,
    'layers.5': 0.049022,
    'layers.6': 0.075419,
    'layers.7': 0.116029,
    'layers.8': 0.178506,
    'layers.9': 0.274625,
    'layers.10': 0.4225,
    'layers.11': 0.65,
    'ln1': 1.0,
}
FAMILIES = {
    'swin-tiny': (
        dict(type='mim_bench.Swin', arch='tiny', out_indices=(0, 1, 2, 3), out_norms=True),
        0.85,
        SWIN,
    ),
    'ummae-swin-tiny': (
        dict(type='mim_bench.UMMAESwin', arch='tiny', final_norm=True),
        0.85,
        UMMAE_SWIN,
    ),
    'ummae-pvt-small': (
        dict(type='mim_bench.UMMAEPvt', arch='small', final_norm=True),
        0.85,
        UMMAE_PVT,
    ),
    'vit-base': (dict(type='mim_bench.ViT', arch='base'), 0.65, VIT),
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
def test_layer_decay_factors_are_those_written_out(family, library):
    backbone, rate, table = FAMILIES[family]
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
