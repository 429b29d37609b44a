"""LocalMIM's Swin recipes: rates, warm-up, what is not decayed."""

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from mim_bench.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs'
RECIPES = {
    'localmim_swin-base_8xb256-amp-coslr-400e': (8e-4, 40),
    'localmim_swin-base_8xb256-amp-coslr-100e': (8e-4, 10),
    'localmim_pixel-swin-base_8xb256-amp-coslr-400e': (8e-4, 40),
    'localmim_swin-large_8xb128-accum4-amp-coslr-800e': (1.6e-3, 40),
}


@pytest.mark.parametrize('name', RECIPES)
def test_localmim_swin_recipe_has_the_published_schedule(name):
    cfg = Config.fromfile(CONFIGS / 'pretrain' / 'localmim' / f'{name}_in1k-224px.py')
    rate, warmup = RECIPES[name]
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(rate)
    assert tuple(cfg.optim_wrapper.optimizer.betas) == (0.9, 0.95)
    assert cfg.param_scheduler.warmup_epochs == warmup
    assert cfg.param_scheduler.min_lr == 0
    assert 'clip_grad' not in cfg.optim_wrapper


def test_localmim_swin_recipe_decays_matrices_alone():
    cfg = Config.fromfile(CONFIGS / 'demo' / 'localmim_swin-toy_1xb32-coslr-5e_toy-in1k-64px.py')
    model = MODELS.build(cfg.model)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    decayed = {id(p) for group in groups if group['weight_decay'] for p in group['params']}
    for name, parameter in model.named_parameters():
        is_matrix = parameter.ndim > 1 and not any(
            word in name for word in ('position_bias', 'token')
        )
        if parameter.requires_grad:
            assert (id(parameter) in decayed) == is_matrix, name
