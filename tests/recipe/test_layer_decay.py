"""The settings of layer decay; test_layer_decay_tables.py has the layers of every backbone."""

import pytest
import torch
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import MODELS
from mmpretrain.engine.optimizers import LearningRateDecayOptimWrapperConstructor
from torch import nn

from mim_bench.errors import ConfigError

RATE = 0.5
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
