"""The plan of a batch, by hand-made numbers, and what it does to a config and its protocol."""

import copy

import pytest
from mmengine.config import Config

from mim_bench.errors import ConfigError
from mim_bench.recipe.effective_batch import (
    apply_plan,
    iterations_per_update,
    num_processes,
    plan_batch,
)
from mim_bench.recipe.protocol import protocol_settings

LR = 2e-3


def recipe(**changes):
    """8 GPUs x 128 images = 1024, in epochs."""
    return Config(
        {
            'effective_batch_size': 1024,
            'train_dataloader': {'batch_size': 128},
            'optim_wrapper': {'type': 'OptimWrapper', 'optimizer': {'type': 'AdamW', 'lr': LR}},
            'train_cfg': {'type': 'EpochBasedTrainLoop', 'max_epochs': 100},
            'param_scheduler': {'type': 'mim_bench.WarmupCosineLR', 'min_lr': 1e-6},
            **changes,
        }
    )


def iteration_recipe(**changes):
    """8 GPUs x 2 images = 16, in iterations."""
    return recipe(
        effective_batch_size=16,
        train_dataloader={'batch_size': 2},
        train_cfg={'type': 'IterBasedTrainLoop', 'max_iters': 160000, 'val_interval': 16000},
        param_scheduler=[
            {'type': 'LinearLR', 'start_factor': 1e-6, 'by_epoch': False, 'begin': 0, 'end': 1500},
            {'type': 'PolyLR', 'eta_min': 0.0, 'by_epoch': False, 'begin': 1500, 'end': 160000},
        ],
        default_hooks={
            'checkpoint': {
                'type': 'CheckpointHook',
                'by_epoch': False,
                'interval': 16,
                'save_begin': 50,
            }
        },
        **changes,
    )


@pytest.mark.parametrize(
    ('sizes', 'gpus', 'fitted'),
    [
        ((1024, 128, 1), 8, (128, 1)),  # the recipe's own
        ((1024, 128, 1), 1, (128, 8)),
        ((1024, 128, 1), 2, (128, 4)),
        ((1024, 128, 1), 16, (64, 1)),
        ((4096, 128, 4), 32, (128, 1)),
        ((4096, 128, 4), 64, (64, 1)),
        ((16, 2, 1), 1, (2, 8)),
        # 96 images a pass do not divide 512 or 128; 64 do.
        ((1024, 96, 1), 2, (64, 8)),
        ((1024, 96, 1), 8, (64, 2)),
    ],
)
def test_plan_keeps_the_batch_where_whole_numbers_do(sizes, gpus, fitted):
    plan = plan_batch(*sizes, gpus=gpus)
    assert (plan.images_per_gpu, plan.accumulation) == fitted
    assert (plan.effective_batch, plan.lr_factor) == (sizes[0], 1.0)


@pytest.mark.parametrize(
    ('recipe_batch', 'images', 'gpus', 'fitted', 'batch'),
    [
        (1024, 128, 3, (114, 3), 1026),  # 1024 / 3 / 3 = 113.8
        (1024, 128, 7, (73, 2), 1022),
        (1024, 128, 12, (85, 1), 1020),
        (16, 2, 3, (2, 3), 18),
        (16, 2, 32, (1, 1), 32),
    ],
)
def test_plan_without_whole_numbers_takes_the_nearest_and_scales_the_rate(
    recipe_batch, images, gpus, fitted, batch
):
    plan = plan_batch(recipe_batch, images, 1, gpus=gpus)
    assert (plan.images_per_gpu, plan.accumulation) == fitted
    assert plan.effective_batch == batch
    assert plan.lr_factor == batch / recipe_batch


@pytest.mark.parametrize(('rule', 'factor'), [('linear', 0.25), ('sqrt', 0.5), ('none', 1.0)])
def test_scale_lr_follows_the_rule_of_the_recipe(rule, factor):
    cfg = recipe(lr_scaling=rule)
    plan = apply_plan(cfg, gpus=2, keep='scale-lr')
    assert (plan.effective_batch, plan.accumulation, plan.lr_factor) == (256, 1, factor)
    assert cfg.optim_wrapper.optimizer.lr == plan.lr == LR * factor
    assert cfg.param_scheduler.min_lr == 1e-6 * factor
    assert cfg.effective_batch_size == 256


def test_keep_batch_off_changes_nothing_but_says_the_batch():
    cfg = recipe()
    plan = apply_plan(cfg, gpus=2, keep='off')
    assert (plan.effective_batch, plan.lr_factor, plan.lr) == (256, 1.0, LR)
    wanted = recipe(effective_batch_size=256)
    assert cfg._cfg_dict == wanted._cfg_dict


def test_accumulation_leaves_the_lengths_of_an_iteration_recipe():
    cfg = iteration_recipe()
    apply_plan(cfg, gpus=2)
    assert cfg.optim_wrapper.accumulative_counts == iterations_per_update(cfg) == 4
    wanted = iteration_recipe()
    wanted.optim_wrapper.accumulative_counts = 4
    assert cfg._cfg_dict == wanted._cfg_dict


def test_another_batch_of_an_iteration_recipe_sees_as_many_images():
    cfg = iteration_recipe()
    apply_plan(cfg, gpus=4, keep='scale-lr')  # half of the batch: twice the updates
    assert cfg.train_cfg.max_iters == 320000
    assert cfg.train_cfg.val_interval == 32000
    ends = [(s.begin, s.end) for s in cfg.param_scheduler]
    assert ends == [(0, 3000), (3000, 320000)]
    checkpoint = cfg.default_hooks.checkpoint
    assert (checkpoint.interval, checkpoint.save_begin) == (32, 100)


def test_plan_of_a_plan_is_itself():
    """A config that a run wrote into its work directory starts the same run."""
    for keep in ('accumulate', 'scale-lr', 'off'):
        cfg = recipe()
        apply_plan(cfg, gpus=3, keep=keep)
        again = copy.deepcopy(cfg)
        apply_plan(again, gpus=3, keep=keep)
        assert again._cfg_dict == cfg._cfg_dict


def test_config_without_effective_batch_is_left_alone():
    cfg = recipe(effective_batch_size=None)
    before = copy.deepcopy(cfg._cfg_dict)
    assert apply_plan(cfg, gpus=2) is None
    assert cfg._cfg_dict == before
    cfg.optim_wrapper.accumulative_counts = 4
    assert iterations_per_update(cfg) == 1


def test_protocol_settings_do_not_depend_on_the_gpus_that_keep_the_batch():
    settings = []
    for gpus in (1, 2, 8, 16):
        cfg = recipe()
        apply_plan(cfg, gpus=gpus)
        settings.append(protocol_settings(cfg))
    assert all(found == protocol_settings(recipe()) for found in settings)
    assert settings[0]['effective_batch_size'] == 1024


@pytest.mark.parametrize(
    ('gpus', 'keep'), [(3, 'accumulate'), (2, 'scale-lr'), (2, 'off'), (16, 'off')]
)
def test_protocol_settings_of_another_batch_differ(gpus, keep):
    cfg = recipe()
    apply_plan(cfg, gpus=gpus, keep=keep)
    assert protocol_settings(cfg) != protocol_settings(recipe())


@pytest.mark.parametrize(
    ('changes', 'keep', 'message'),
    [
        ({}, 'halve', "--keep-batch 'halve' is unknown. Known: accumulate, scale-lr, off"),
        ({'lr_scaling': 'cubic'}, 'off', "lr_scaling 'cubic' is unknown. Known: linear"),
        ({'effective_batch_size': 0}, 'off', 'effective_batch_size 0, .*whole number'),
    ],
)
def test_plan_wrong_words_and_numbers_raise(changes, keep, message):
    with pytest.raises(ConfigError, match=message):
        apply_plan(recipe(**changes), gpus=2, keep=keep)


@pytest.mark.parametrize(
    ('launcher', 'count'), [('none', 1), ('pytorch', 6), ('slurm', 12), ('unknown', 1)]
)
def test_num_processes_are_those_of_the_launcher(monkeypatch, launcher, count):
    monkeypatch.setenv('WORLD_SIZE', '6')
    monkeypatch.setenv('SLURM_NTASKS', '12')
    assert num_processes(launcher) == count
