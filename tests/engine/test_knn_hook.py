import json
from pathlib import Path

import pytest
import torch

from mim_bench.engine.hooks.cost_ledger_hook import find_ledger_hook
from mim_bench.errors import ConfigError
from mim_bench.testing.toy_runs import knn_hook, make_runner


def scalars(runner, key):
    path = next(Path(runner.work_dir).glob('*/vis_data/scalars.json'))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [line for line in lines if key in line]


def weights(runner):
    return torch.cat([p.detach().flatten() for p in runner.model.parameters()])


def test_knn_hook_logs_accuracy_by_epoch(pretraining):
    runner = make_runner(pretraining(custom_hooks=[knn_hook()]))
    runner.train()
    lines = scalars(runner, 'knn/top1')
    assert [(line['step'], line['epoch'], line['iter']) for line in lines] == [
        (0, 0, 0),
        (1, 1, 4),
        (2, 2, 8),
    ]
    assert all(0 <= line['knn/top1'] <= 100 for line in lines)
    assert lines[-1]['knn/top1'] > 50  # chance is 33; the class is a bright channel
    assert runner.message_hub.get_scalar('knn/top1').current() == lines[-1]['knn/top1']


def test_knn_hook_interval_still_measures_the_last_epoch(pretraining):
    hook = knn_hook(interval=2, at_start=False)
    cfg = pretraining(custom_hooks=[hook], train_cfg=dict(by_epoch=True, max_epochs=3))
    runner = make_runner(cfg)
    runner.train()
    assert [line['step'] for line in scalars(runner, 'knn/top1')] == [2, 3]


def test_knn_hook_leaves_the_training_as_it_was(pretraining):
    plain = make_runner(pretraining('plain'))
    plain.train()
    watched = make_runner(pretraining('watched', custom_hooks=[knn_hook()]))
    watched.train()
    assert torch.equal(weights(plain), weights(watched))
    losses = [[line['loss'] for line in scalars(r, 'loss')] for r in (plain, watched)]
    assert losses[0] == losses[1]


def test_knn_hook_time_is_not_a_cost(pretraining):
    ledger = dict(type='mim_bench.CostLedgerHook')
    runner = make_runner(pretraining(custom_hooks=[ledger, knn_hook()]))
    seen = []
    ledger_hook = find_ledger_hook(runner)
    original = runner.model.extract_feat
    runner.model.extract_feat = lambda x: (
        None if runner.model.training else seen.append(ledger_hook.ledger._pauses),
        original(x),
    )[1]
    runner.train()
    assert set(seen) == {1}
    assert ledger_hook.ledger._pauses == 0


def test_knn_hook_bad_interval_raises(pretraining):
    with pytest.raises(ConfigError, match='interval = 0'):
        make_runner(pretraining(custom_hooks=[knn_hook(interval=0)]))
