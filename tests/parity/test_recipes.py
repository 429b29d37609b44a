"""Every recipe of an official repository against the numbers of its own training code.

Parameter groups at full size, learning rates over a whole training on ImageNet, and three updates
at toy size, each from the project's config of that recipe.
"""

import math
from copy import deepcopy
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmpretrain.structures import DataSample

from mim_bench.engine.hooks.momentum_hook import MomentumHook
from mim_bench.engine.runner import BenchRunner
from mim_bench.models.momentum import MomentumNetwork
from mim_bench.recipe.building import build_model, library_scope
from mim_bench.recipe.effective_batch import apply_plan
from mim_bench.recipe.precision import disable_amp
from mim_bench.registry import DATASETS
from mim_bench.testing.recipe_parity import Recipe, recipes

NUM_IMAGES = 1_281_167
# ConMIM's official network has a classifier that is never used; ours has none.
UNUSED = {'lm_head.weight', 'lm_head.bias'}
# Options that the official optimiser and ours call otherwise.
OUR_OPTION = {}
FLOORS = {'min_lr': 'floor', 'warmup_lr': 'warmup_start'}


def skip_without_config(recipe: Recipe) -> None:
    if recipe.config_path is None:
        pytest.skip(recipe.missing_config)


def each(file: str = 'groups.json'):
    return pytest.mark.parametrize('recipe', recipes(file), ids=str)


@each()
def test_parameters_have_the_official_rates_and_decays(recipe, monkeypatch):
    skip_without_config(recipe)
    cfg = recipe.config()
    disable_amp(cfg)
    # mmpretrain's Swin reads its drop path rates from a tensor, which must hold numbers.
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))
    with torch.device('meta'):
        model = build_model(cfg)
    with library_scope(cfg):
        optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    found = rates_and_decays(model, optimizer)
    official = recipe.groups['groups']
    expected = {ours: official[theirs] for ours, theirs in recipe.ours_at_full_size().items()}
    assert set(found) == set(expected)
    assert set(official) - set(recipe.ours_at_full_size().values()) <= UNUSED
    scale = {name: pair[0] for name, pair in found.items()}
    assert scale == pytest.approx({name: pair[0] for name, pair in expected.items()}, rel=1e-9)
    decay = {name: pair[1] for name, pair in found.items()}
    assert decay == pytest.approx({name: pair[1] for name, pair in expected.items()}, rel=1e-9)


def rates_and_decays(model, optimizer) -> dict[str, tuple[float, float]]:
    """Scale of the rate and weight decay of everything that is trained, by our name."""
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    return {
        names[p]: (group['lr'] / optimizer.defaults['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for p in group['params']
        if p in names
    }


@each()
def test_optimizer_is_the_official_one(recipe):
    skip_without_config(recipe)
    if not recipe.is_published:
        pytest.skip(f'{recipe}: no such command is published')
    cfg, groups = recipe.config(), recipe.groups
    wrapper = cfg.optim_wrapper
    assert wrapper.optimizer.type.removeprefix('mim_bench.') == groups['optimizer']
    assert wrapper.optimizer.lr == pytest.approx(groups['peak_lr'], rel=1e-9)
    assert wrapper.get('clip_grad', {}).get('max_norm') == groups['clip_grad_norm']
    assert cfg.effective_batch_size == recipe.schedule['images_per_update']
    weight = torch.nn.Parameter(torch.zeros(1))
    disable_amp(cfg)
    wrapper.pop('constructor', None), wrapper.pop('paramwise_cfg', None)
    with library_scope(cfg):
        model = torch.nn.Module()
        model.weight = weight
        options = build_optim_wrapper(model, wrapper).optimizer.defaults
    for name, value in groups['options'].items():
        found = options[name]
        assert list(found) == value if isinstance(value, list) else found == pytest.approx(value)


@DATASETS.register_module()
class CountedImages:
    """ImageNet's number of training images, without an image."""

    def __init__(self, **_) -> None:
        self.metainfo = {}

    def __len__(self) -> int:
        return NUM_IMAGES


class TwoRates(BaseModel):
    """Two parameters: one at the full rate, one at the smallest."""

    def __init__(self) -> None:
        super().__init__()
        self.full, self.lowest = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))

    def forward(self, *_, **__):
        raise NotImplementedError


def scheduled_runner(recipe: Recipe, folder) -> BenchRunner:
    """The runner of a recipe's config, on one process, with its schedules built."""
    cfg, schedule = recipe.config(), recipe.schedule
    apply_plan(cfg, gpus=1)
    disable_amp(cfg)
    if not recipe.is_published:  # the rule, with the numbers of the fixture
        scheduler = cfg.param_scheduler
        scheduler.update({o: schedule[t] for o, t in FLOORS.items() if o in scheduler})
        scheduler.warmup_epochs, cfg.train_cfg.max_epochs = (
            schedule['warmup_epochs'],
            schedule['epochs'],
        )
        cfg.optim_wrapper.optimizer.lr = schedule['peak_lr']
    model = TwoRates()
    lr = cfg.optim_wrapper.optimizer.lr
    scale = schedule.get('lowest_group', {}).get('lr_scale', 1.0)
    optimizer = torch.optim.SGD(
        [dict(params=[model.full], lr=lr), dict(params=[model.lowest], lr=lr * scale)], lr=lr
    )
    loader = cfg.train_dataloader
    loader.update(num_workers=0, persistent_workers=False)
    loader.dataset.type = 'mim_bench.CountedImages'
    cfg.optim_wrapper.pop('constructor', None)
    runner = BenchRunner(
        model,
        work_dir=str(folder),
        train_dataloader=loader,
        train_cfg=cfg.train_cfg,
        optim_wrapper=OptimWrapper(
            optimizer, accumulative_counts=cfg.optim_wrapper.get('accumulative_counts', 1)
        ),
        param_scheduler=cfg.param_scheduler,
        default_scope='mmpretrain',
        default_hooks=dict(checkpoint=None, logger=None),
        log_level='ERROR',
        experiment_name=recipe.folder.name,
        cfg=cfg,
    )
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.param_schedulers = runner.build_param_scheduler(runner.param_schedulers)
    return runner


@each('schedule.json')
def test_learning_rate_follows_the_official_schedule(recipe, tmp_path):
    skip_without_config(recipe)
    schedule = recipe.schedule
    runner = scheduled_runner(recipe, tmp_path)
    every = runner.iterations_per_update
    assert runner.max_iters // every == schedule['total_updates']
    assert len(runner.train_dataloader) // every == schedule['updates_per_epoch']
    (scheduler,) = runner.param_schedulers
    assert not scheduler.by_epoch
    tolerance = (3e-4 if schedule.get('leftover_micro_batches') else 1e-6) * schedule['peak_lr']
    full, lowest = runner.optim_wrapper.optimizer.param_groups
    for update, _, rate in schedule['lr']:
        step_to(scheduler, update)
        assert full['lr'] == pytest.approx(rate, abs=tolerance), update
    group = schedule.get('lowest_group')
    for update, rate in group['lr'] if group else ():
        step_to(scheduler, update)
        assert lowest['lr'] == pytest.approx(rate, abs=tolerance * group['lr_scale']), update
    assert schedule['weight_decay']['constant']


def step_to(scheduler, update: int) -> None:
    """Put a schedule where it stands before an update; its rates follow from the step alone."""
    scheduler.last_step = update - 1
    scheduler.step()


@each('schedule.json')
def test_momentum_follows_the_official_schedule(recipe):
    skip_without_config(recipe)
    official = recipe.schedule.get('ema_momentum')
    settings = recipe.config().model.get('momentum')
    assert (official is None) == (settings is None)
    if official is None:
        pytest.skip(f'{recipe}: has no momentum network')
    network = MomentumNetwork(dict(part=torch.nn.Linear(1, 1)), **settings)
    for update, momentum in official['values']:
        progress = update / recipe.schedule['total_updates']
        assert network.momentum_at(progress) == pytest.approx(momentum, abs=1e-12), update
