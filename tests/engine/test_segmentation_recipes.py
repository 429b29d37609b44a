"""What the segmentation recipes decay, freeze and tap, at toy width."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.toy_width import toy_width

FOLDER = configs_folder() / 'segmentation'
# Names of parameters, and the weight decay that the recipe's source gives them.
VIT = {
    # Bare names in the official rule do not match a segmentor's `backbone.pos_embed`.
    'backbone.pos_embed': 0.05,
    'backbone.cls_token': 0.05,
    'backbone.layers.0.attn.relative_position_bias_table': 0.05,
    'backbone.layers.0.gamma_1': 0.0,
    'backbone.layers.0.ln1.weight': 0.0,
    'backbone.layers.0.attn.proj.bias': 0.0,
    'decode_head.conv_seg.weight': 0.05,
    'decode_head.conv_seg.bias': 0.0,
    'decode_head.bottleneck.bn.weight': 0.0,
}
BEIT = {name: value for name, value in VIT.items() if not name.endswith('pos_embed')} | {
    'backbone.layers.0.attn.q_bias': 0.0
}
SWIN = {
    'backbone.stages.0.blocks.0.norm1.weight': 0.0,
    'backbone.norm3.bias': 0.0,
    'backbone.stages.0.downsample.norm.weight': 0.0,
    'backbone.stages.0.blocks.0.ffn.layers.1.bias': 0.01,
    'backbone.stages.0.blocks.0.ffn.layers.1.weight': 0.01,
    # mmcv calls the batch norm of a head `bn`, which the recipe's `norm` does not match.
    'decode_head.bottleneck.bn.weight': 0.01,
    'decode_head.conv_seg.bias': 0.01,
}
DECAYS = {
    'upernet_vit-base_8xb2-amp-localmim-': VIT,
    'upernet_vit-base_8xb2-amp-mae-': VIT,
    'upernet_beit-vit-base_8xb2-amp-beit-': BEIT,
    'upernet_swin-base_8xb2-swin-': SWIN,
}
LINEAR = sorted(FOLDER.rglob('linear_*.py'))


def narrow(path: Path) -> Config:
    return toy_width(load_config(path), Path('toy'))


def groups_of(cfg, model):
    """Group of each trained parameter, by name."""
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('loss_scale', None)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    group_of = {id(p): group for group in wrapper.param_groups for p in group['params']}
    return {name: group_of[id(parameter)] for name, parameter in model.named_parameters()}


@pytest.mark.parametrize('prefix', DECAYS)
def test_upernet_weight_decay_is_the_recipes(prefix):
    (path,) = (FOLDER / 'upernet').glob(f'{prefix}*512px.py')
    cfg = narrow(path)
    model = build_model(cfg)
    groups = groups_of(cfg, model)
    found = {name: groups[name]['weight_decay'] for name in DECAYS[prefix]}
    assert found == pytest.approx(DECAYS[prefix])
    tables = [n for n in groups if n.endswith('relative_position_bias_table')]
    assert {groups[n]['weight_decay'] for n in tables} == {0.0 if 'swin' in prefix else 0.05}


def test_upernet_layer_decay_leaves_pyramid_and_heads_at_the_full_rate():
    (path,) = (FOLDER / 'upernet').glob('upernet_vit-base_8xb2-amp-localmim-*.py')
    cfg = narrow(path)
    groups = groups_of(cfg, build_model(cfg))
    rates = {name: group['lr'] for name, group in groups.items()}
    assert rates['backbone.pos_embed'] == pytest.approx(4e-4 * 0.65**13)
    assert rates['backbone.layers.11.gamma_2'] == pytest.approx(4e-4 * 0.65)
    others = {rate for name, rate in rates.items() if not name.startswith('backbone.')}
    assert others == {4e-4}


@pytest.mark.parametrize('path', LINEAR, ids=lambda path: path.stem)
def test_linear_probe_trains_norms_and_one_convolution_only(path):
    model = build_model(narrow(path)).train()
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert {name.partition('.')[0] for name in trained} == {'neck', 'decode_head'}
    heads = {name for name in trained if name.startswith('decode_head')}
    assert heads == {'decode_head.conv_seg.weight', 'decode_head.conv_seg.bias'}
    owners = [m for m in model.backbone.modules() if list(m.parameters(recurse=False))]
    assert not any(owner.training for owner in owners if owner is not model.backbone)
