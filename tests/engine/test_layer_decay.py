"""Layer decay: the numbering of every family in every library, by names written out."""

from pathlib import Path

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mim_bench.engine.building import build_model
from mim_bench.engine.config import load_config
from mim_bench.errors import ConfigError

DEMO = Path(__file__).parents[2] / 'configs' / 'demo'
LIBRARIES = {
    'mmpretrain': 'finetune_swin-toy_1xb64-coslr-8e_toy-in1k-64px.py',
    'mmseg': 'upernet_swin-toy_1xb8-400i_toy-ade20k-128px.py',
    'mmdet': 'mask-rcnn_swin-toy_1xb4-3e_toy-coco-128px.py',
}
RATE = 0.5
# Backbone, number of layers, and the layer of some parameters.
FAMILIES = {
    'swin-tiny': (
        dict(type='mim_bench.Swin', arch='tiny', out_norms=True),
        14,
        {
            'patch_embed.projection.weight': 0,
            'patch_embed.norm.bias': 0,
            'stages.0.blocks.0.attn.w_msa.relative_position_bias_table': 1,
            'stages.0.blocks.1.ffn.layers.0.0.weight': 2,
            'stages.0.downsample.reduction.weight': 2,
            'stages.1.blocks.0.norm1.weight': 3,
            'stages.1.downsample.norm.weight': 4,
            'stages.2.blocks.0.attn.w_msa.qkv.weight': 5,
            'stages.2.blocks.5.attn.w_msa.proj.bias': 10,
            'stages.2.downsample.reduction.weight': 10,
            'stages.3.blocks.0.norm2.bias': 11,
            'stages.3.blocks.1.ffn.layers.1.weight': 12,
            'norm3.weight': 13,
        },
    ),
    'ummae-swin-tiny': (
        dict(type='mim_bench.UMMAESwin', arch='tiny', final_norm=True),
        14,
        {
            'patch_embed.projection.weight': 0,
            'stages.0.blocks.0.attn.w_msa.posmlp.0.weight': 1,
            'stages.0.blocks.1.norm1.weight': 2,
            'stages.1.downsample.proj.weight': 3,
            'stages.1.blocks.0.norm1.weight': 3,
            'stages.1.blocks.1.ffn.layers.1.bias': 4,
            'stages.2.downsample.norm.weight': 5,
            'stages.2.blocks.5.attn.w_msa.qkv.weight': 10,
            'stages.3.downsample.proj.bias': 11,
            'stages.3.blocks.0.norm2.weight': 11,
            'stages.3.blocks.1.attn.w_msa.proj.weight': 12,
            'norm.weight': 13,
        },
    ),
    'ummae-pvt-small': (
        dict(type='mim_bench.UMMAEPvt', arch='small', final_norm=True),
        18,
        {
            'pos_embed': 0,
            'patch_embed.projection.bias': 0,
            'stages.0.blocks.0.attn.q.weight': 1,
            'stages.0.blocks.2.attn.sr.weight': 3,
            'stages.1.downsample.proj.weight': 4,
            'stages.1.blocks.0.norm1.weight': 4,
            'stages.2.downsample.proj.bias': 8,
            'stages.2.blocks.5.attn.kv.weight': 13,
            'stages.3.downsample.proj.weight': 14,
            'stages.3.blocks.2.ffn.layers.1.weight': 16,
            'norm.bias': 17,
        },
    ),
    'vit-base': (
        dict(type='mim_bench.ViT', arch='base'),
        14,
        {
            'cls_token': 0,
            'pos_embed': 0,
            'patch_embed.projection.weight': 0,
            'layers.0.ln1.weight': 1,
            'layers.0.attn.qkv.bias': 1,
            'layers.5.ffn.layers.0.0.weight': 6,
            'layers.11.attn.proj.weight': 12,
            'ln1.weight': 13,
        },
    ),
}
NO_DECAY = dict(norm_decay_mult=0.0, bias_decay_mult=0.0, flat_decay_mult=0.0)


def optimizer_of(model: nn.Module, **paramwise_cfg) -> torch.optim.Optimizer:
    cfg = dict(
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1),
        constructor='mim_bench.LayerDecayOptimWrapperConstructor',
        paramwise_cfg=paramwise_cfg or None,
    )
    return build_optim_wrapper(model, cfg).optimizer


def settings(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, tuple]:
    """(lr, weight decay) of every parameter by its name."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    }


def small_model(backbone: dict | None = None, **kwargs) -> nn.Module:
    """A classifier with a Swin of three blocks."""
    arch = dict(embed_dims=8, depths=(1, 2), num_heads=(1, 2))
    return MODELS.build(
        dict(
            type='mmpretrain.ImageClassifier',
            backbone=backbone or dict(type='mim_bench.Swin', arch=arch, **kwargs),
            head=dict(type='mmpretrain.LinearClsHead', in_channels=16, num_classes=2),
        )
    )


@pytest.mark.parametrize('library', LIBRARIES)
@pytest.mark.parametrize('family', FAMILIES)
def test_layer_decay_of_every_family_in_every_library(family, library):
    backbone, num_layers, layers = FAMILIES[family]
    cfg = load_config(str(DEMO / LIBRARIES[library]))
    cfg.model.backbone = backbone
    with torch.device('meta'):
        model = build_model(cfg)
    optimizer = optimizer_of(model, layer_decay_rate=RATE, **NO_DECAY)
    found = settings(model, optimizer)
    rates = {name: found[f'backbone.{name}'][0] for name in layers}
    # Halved for each layer before the last.
    assert rates == {name: 0.5 ** (num_layers - 1 - layer) for name, layer in layers.items()}
    others = {rate for name, (rate, _) in found.items() if not name.startswith('backbone.')}
    assert others == {1.0}
    assert set(found) == {name for name, p in model.named_parameters() if p.requires_grad}
    assert len(optimizer.param_groups) <= 2 * num_layers
    assert sorted({layer for group in optimizer.param_groups for layer in group['layers']}) == list(
        range(num_layers)
    )


@pytest.mark.parametrize('rate', [1.0, 0.65])
def test_layer_decay_gives_mmpretrains_numbers(rate):
    backbone = dict(type='mmpretrain.VisionTransformer', arch='deit-tiny', out_type='avg_featmap')
    model = small_model(backbone)
    paramwise_cfg = dict(
        layer_decay_rate=rate, custom_keys={'.pos_embed': dict(decay_mult=0.5)}, **NO_DECAY
    )
    constructor = LearningRateDecayOptimWrapperConstructor(
        dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1.0, weight_decay=0.1)),
        paramwise_cfg,
    )
    expected = settings(model, constructor(model).optimizer)
    found = settings(model, optimizer_of(model, **paramwise_cfg))
    assert found == {name: pytest.approx(values) for name, values in expected.items()}


def test_layer_decay_weight_decay_follows_kind_name_and_custom_key():
    model = small_model()
    found = settings(
        model,
        optimizer_of(
            model,
            norm_decay_mult=0.5,
            bias_decay_mult=0.2,
            no_decay_names=('relative_position_bias_table',),
            custom_keys={
                'stages.1': dict(decay_mult=3.0),
                'stages.1.blocks.1': dict(lr_mult=0.1, decay_mult=2.0),
            },
        ),
    )
    block = 'backbone.stages.{}.blocks.{}.'
    assert found['backbone.patch_embed.projection.weight'] == (1.0, 0.1)
    assert found['backbone.patch_embed.projection.bias'] == (1.0, pytest.approx(0.02))
    assert found['backbone.patch_embed.norm.bias'] == (1.0, 0.05)
    table = 'attn.w_msa.relative_position_bias_table'
    assert found[block.format(0, 0) + table] == (1.0, 0.0)
    # The longest key counts, and goes before all other rules.
    assert found[block.format(1, 0) + 'norm1.bias'] == (1.0, pytest.approx(0.3))
    assert found[block.format(1, 1) + table] == (0.1, 0.2)


def test_layer_decay_without_settings_is_two_groups_at_most():
    optimizer = optimizer_of(small_model())
    assert [(g['lr'], g['weight_decay'], g['lr_scale']) for g in optimizer.param_groups] == [
        (1.0, 0.1, 1.0)
    ]


def test_layer_decay_leaves_out_what_is_frozen_and_counts_shared_parameters_once():
    model = small_model(frozen_stages=1)
    model.tied = model.head.fc
    found = settings(model, optimizer_of(model, layer_decay_rate=RATE))
    assert not any(name.startswith(('backbone.patch', 'backbone.stages.0')) for name in found)
    assert found['head.fc.weight'] == (1.0, 0.1)


def test_layer_decay_unwraps_the_model():
    model = small_model()
    wrapped = nn.Module()
    wrapped.module = model
    wrapper = optimizer_of(wrapped, layer_decay_rate=RATE)
    assert settings(model, wrapper) == settings(model, optimizer_of(model, layer_decay_rate=RATE))
    assert isinstance(OptimWrapper(wrapper), OptimWrapper)


def test_layer_decay_state_of_the_optimizer_loads_again():
    model = small_model()
    first, second = (optimizer_of(model, layer_decay_rate=RATE, **NO_DECAY) for _ in range(2))
    second.load_state_dict(first.state_dict())
    assert settings(model, second) == settings(model, first)


@pytest.mark.parametrize(
    'backbone', [dict(type='mmpretrain.ResNet', depth=18), dict(type='mmdet.ResNet', depth=18)]
)
def test_layer_decay_of_a_backbone_without_numbering_is_refused_by_name(backbone):
    model = small_model(backbone)
    with pytest.raises(ConfigError, match=r'layer_decay_rate is 0\.5, but ResNet has no'):
        optimizer_of(model, layer_decay_rate=RATE)
    assert len(optimizer_of(model, **NO_DECAY).param_groups) == 2


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(layer_decay=0.5), r"has \['layer_decay'\], which layer decay does not know"),
        (dict(bias_lr_mult=2.0), r"has \['bias_lr_mult'\]"),
    ],
)
def test_layer_decay_unknown_setting_is_refused(cfg, message):
    with pytest.raises(ConfigError, match=message):
        optimizer_of(small_model(), **cfg)
