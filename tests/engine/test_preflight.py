"""What fails after hours fails before the first step, and a try changes nothing."""

import random
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.registry import DATASETS
from torch import nn

from mim_bench.engine import preflight
from mim_bench.engine.preflight import check_space, last_batch_size, try_smallest_batch
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import CheckpointError, ConfigError, DataError, MimBenchError
from mim_bench.testing.toy_runs import ToyImages, loader, make_runner, record_hook, test_settings

VALIDATION = dict(
    val_dataloader=loader(),
    val_evaluator=dict(type='ToyMetric', values={'accuracy/top1': 50.0}),
    val_cfg={},
)


class LastImageBroken(ToyImages):
    def get_data_info(self, index):
        return {'img_path': f'images/{index}.jpg'}

    def __getitem__(self, index):
        if index == len(self) - 1:
            raise DataError(f'images/{index}.jpg: does not decode')
        return super().__getitem__(index)


@pytest.fixture(autouse=True)
def _registered():
    DATASETS.register_module(module=LastImageBroken, force=True)
    yield
    DATASETS.module_dict.pop('LastImageBroken')


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_preflight_leaves_random_states_weights_modes_and_metrics(pretraining):
    runner = make_runner(pretraining(**VALIDATION), BenchRunner)
    runner._train_loop = runner.build_train_loop(runner.cfg.train_cfg)
    runner._val_loop = runner.build_val_loop({})
    runner.optim_wrapper = runner.build_optim_wrapper(runner.cfg.optim_wrapper)
    (hook,) = [h for h in runner.hooks if isinstance(h, preflight.PreflightHook)]
    weights = {name: value.clone() for name, value in runner.model.state_dict().items()}
    modes = [module.training for module in runner.model.modules()]
    before = states()

    hook.before_train(runner)

    assert states() == before
    assert [module.training for module in runner.model.modules()] == modes
    assert all(
        torch.equal(value, weights[name]) for name, value in runner.model.state_dict().items()
    )
    assert [metric.results for metric in runner.val_loop.evaluator.metrics] == [[]]


def test_record_that_asks_for_another_metric_stops_before_the_first_step(pretraining, tmp_path):
    tasks = [dict(task='in1k-ft', metrics=['top1', 'top5'])]
    record = record_hook(tmp_path / 'results', tasks)
    hooks = [dict(type='mim_bench.CostLedgerHook'), record]
    runner = make_runner(pretraining(custom_hooks=hooks, **VALIDATION), BenchRunner)

    with pytest.raises(ConfigError, match='in1k-ft asks for top5, the evaluation gives'):
        runner.train()

    assert runner.iter == 0


def test_results_folder_that_cannot_be_written_stops_before_the_first_step(pretraining, tmp_path):
    (tmp_path / 'results').write_text('a file')
    record = record_hook(tmp_path / 'results', [dict(task='pretrain')])
    hooks = [dict(type='mim_bench.CostLedgerHook'), record]
    runner = make_runner(pretraining(custom_hooks=hooks), BenchRunner)

    with pytest.raises(MimBenchError, match=r'Cannot write .*results'):
        runner.train()

    assert runner.iter == 0


@pytest.mark.parametrize(
    ('schedule', 'is_told'),
    [
        (dict(type='PolyLR', by_epoch=False, end=8), False),
        (dict(type='PolyLR', by_epoch=False, end=16), True),
        (dict(type='PolyLR', by_epoch=False, end=4), True),
        (dict(type='CosineAnnealingLR', T_max=2), False),
        (dict(type='MultiStepLR', milestones=[1]), False),
        (dict(type='MultiStepLR', milestones=[1, 6]), True),
        (dict(type='LinearLR', by_epoch=False, end=3), False),
    ],
    ids=str,
)
def test_schedule_of_another_length_than_the_training_is_told(
    schedule, is_told, pretraining, capsys
):
    warmup = dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2)
    cfg = pretraining(param_scheduler=[warmup, schedule], log_level='WARNING')
    make_runner(cfg, BenchRunner).train()
    assert ('changes the learning rate until' in capsys.readouterr().out) == is_told


def test_disk_that_is_too_small_is_told_with_both_sizes(pretraining, monkeypatch):
    runner = make_runner(pretraining(), BenchRunner)
    runner._train_loop = runner.build_train_loop(runner.cfg.train_cfg)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: SimpleNamespace(free=100))

    with pytest.raises(CheckpointError, match=r'100 bytes are free.*need about .*2 files of'):
        check_space(runner)


def test_probe_with_more_neighbours_than_images_is_told_before_features(pretraining):
    settings = test_settings(probes={'knn': {'k': 31}})
    runner = make_runner(
        pretraining(train_dataloader=None, train_cfg=None, optim_wrapper=None, **settings),
        BenchRunner,
    )

    with pytest.raises(ConfigError, match='k = 31 with a bank of 30 features'):
        runner.test()

    assert not (Path(runner.work_dir) / 'features').exists()


def test_validation_whose_last_image_is_broken_stops_before_the_first_step(pretraining):
    settings = {**VALIDATION, 'val_dataloader': loader(type='LastImageBroken')}
    runner = make_runner(pretraining(**settings), BenchRunner)

    with pytest.raises(DataError, match=r'images/11\.jpg: does not decode'):
        runner.train()

    assert runner.iter == 0


@pytest.mark.parametrize('phase', ['train', 'test'])
def test_network_that_ignores_its_images_is_told_before_anything_is_measured(pretraining, phase):
    settings = VALIDATION
    if phase == 'test':
        no_training = dict(train_dataloader=None, train_cfg=None, optim_wrapper=None)
        settings = {**no_training, **test_settings(probes={'knn': {'k': 3}})}
    runner = make_runner(pretraining(**settings), BenchRunner)
    torch.nn.init.zeros_(runner.model.backbone.weight)

    with pytest.raises(CheckpointError, match=r'images/0.jpg and of its negative are the same'):
        getattr(runner, phase)()

    assert not (Path(runner.work_dir) / 'features').exists()


def test_last_batch_of_an_epoch_is_counted(pretraining):
    build = BenchRunner.build_dataloader
    assert last_batch_size(build(loader(batch_size=3, length=10))) == 1
    assert last_batch_size(build(loader(batch_size=3, length=9))) == 3
    assert last_batch_size(build({**loader(batch_size=3, length=10), 'drop_last': True})) == 3


def test_last_batch_of_one_is_tried_where_there_is_batch_norm(pretraining):
    runner = make_runner(pretraining(train_dataloader=loader(batch_size=3, length=10)), BenchRunner)
    runner._train_loop = runner.build_train_loop(runner.cfg.train_cfg)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.cfg.optim_wrapper)
    norm = nn.BatchNorm1d(4)
    runner.model.add_module('norm', norm)
    features = runner.model.extract_feat

    def normed(inputs):
        (maps,) = features(inputs)
        return (maps + norm(maps.mean((2, 3)))[..., None, None],)

    runner.model.extract_feat = normed
    statistics = norm.running_mean.clone()

    with pytest.raises(ValueError, match='Expected more than 1 value per channel'):
        try_smallest_batch(runner)

    assert torch.equal(norm.running_mean, statistics)
