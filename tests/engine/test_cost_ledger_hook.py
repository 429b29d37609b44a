import itertools
import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import find_latest_checkpoint

from mim_bench.engine.hooks import cost_ledger_hook
from mim_bench.engine.hooks.cost_ledger_hook import find_ledger_hook
from mim_bench.testing.toy_runs import loader, make_runner

TICK_S = 0.5


def ledger_config(**settings):
    """A ledger whose clock moves by half a second each time it is read."""
    ticks = itertools.count()
    return dict(
        type='mim_bench.CostLedgerHook', clock=lambda: next(ticks) * TICK_S, warmup=0, **settings
    )


def with_ledger(cfg, **settings):
    # Config would turn the clock into text, so the hook is registered by hand.
    runner = make_runner(cfg)
    runner.register_hook(ledger_config(**settings))
    return runner


def test_cost_ledger_hook_counts_samples_and_time(pretraining):
    runner = with_ledger(pretraining())
    runner.train()
    summary = find_ledger_hook(runner).ledger.summary()
    # An iteration reads the clock at wait, begin, end, end: 3 samples in 2 half seconds.
    assert summary['img_per_s'] == pytest.approx(3 / 1.0)
    assert summary['data_wait_share'] == pytest.approx(0.5)
    assert summary['device'] == 'cpu'
    assert summary['num_devices'] == 1
    assert summary['gpu_hours'] == 0.0
    assert summary['device_hours'] == pytest.approx(summary['wall_s'] / 3600)
    assert summary['peak_mem_bytes'] >= 0


def test_cost_ledger_hook_excludes_validation(pretraining):
    class LongValidation(Hook):
        def before_val_epoch(self, runner):
            ledger = find_ledger_hook(runner).ledger
            for _ in range(1000):
                ledger._clock()

    validation = dict(
        val_dataloader=loader(), val_evaluator=dict(type='ToyMetric', values={}), val_cfg={}
    )
    seconds = []
    for name, settings in (('plain', {}), ('validated', validation)):
        runner = with_ledger(pretraining(name, **settings))
        runner.register_hook(LongValidation())
        runner.train()
        seconds.append(find_ledger_hook(runner).ledger.summary()['wall_s'])
    # A pause and what ends it read the clock a few times; the validation itself 2000 times.
    assert seconds[1] == pytest.approx(seconds[0], abs=10 * TICK_S)


def test_cost_ledger_hook_resumed_run_adds_up(pretraining):
    first = with_ledger(pretraining(train_cfg=dict(by_epoch=True, max_epochs=1)))
    first.train()
    spent = find_ledger_hook(first).ledger.summary()['wall_s']
    second = with_ledger(pretraining(resume=True))
    second.train()
    hook = find_ledger_hook(second)
    assert hook.ledger.summary()['wall_s'] > spent
    assert hook.started_at == find_ledger_hook(first).started_at
    assert len(hook.ledger._rates.values) == 8


def test_cost_ledger_hook_lost_iterations_count(pretraining):
    class KilledError(Exception):
        pass

    class Killer(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, **_):
            if runner.iter == 6:
                raise KilledError

    first = with_ledger(pretraining(), flush_s=0)
    first.register_hook(Killer())
    with pytest.raises(KilledError):
        first.train()
    second = with_ledger(pretraining(resume=True))
    second.train()
    # 4 iterations to the checkpoint, 3 that were lost, 4 again
    assert len(find_ledger_hook(second).ledger._rates.values) == 11


def test_cost_ledger_hook_file_of_another_run_is_ignored(pretraining):
    cfg = pretraining(train_cfg=dict(by_epoch=True, max_epochs=1))
    first = with_ledger(cfg)
    first.train()
    path = Path(first.work_dir) / 'cost_ledger.json'
    state = json.loads(path.read_text())
    state.update(run_key='another')
    state['ledger']['wall_s'] = 1e6
    path.write_text(json.dumps(state))
    second = with_ledger(pretraining(resume=True))
    second.train()
    assert 0 < find_ledger_hook(second).ledger.summary()['wall_s'] < 1e3


def test_cost_ledger_hook_damaged_file_falls_back_to_the_checkpoint(pretraining):
    first = with_ledger(pretraining(train_cfg=dict(by_epoch=True, max_epochs=1)))
    first.train()
    (Path(first.work_dir) / 'cost_ledger.json').write_text('{"run_k')
    second = with_ledger(pretraining(resume=True))
    second.train()
    assert len(find_ledger_hook(second).ledger._rates.values) == 8


def test_cost_ledger_hook_fresh_run_in_a_used_folder_starts_at_zero(pretraining):
    for _ in range(2):
        runner = with_ledger(pretraining())
        runner.train()
        assert len(find_ledger_hook(runner).ledger._rates.values) == 8


def test_cost_ledger_hook_state_in_the_checkpoint_is_plain_data(pretraining):
    runner = with_ledger(pretraining())
    runner.train()
    checkpoint = torch.load(find_latest_checkpoint(runner.work_dir), weights_only=False)
    assert json.loads(json.dumps(checkpoint['cost_ledger'])) == checkpoint['cost_ledger']


class FakeMeter:
    def joules(self):
        return 0.0


@pytest.mark.parametrize(
    ('found', 'asked'),
    [
        ([('here', 'GPU-b'), ('here', 'GPU-a')], ['GPU-a', 'GPU-b']),
        ([('here', 'GPU-a'), ('here', 'GPU-a')], ['GPU-a']),
        ([('here', 'GPU-a'), ('there', 'GPU-b')], None),
        ([('here', 'GPU-a'), ('here', None)], None),
    ],
)
def test_energy_of_run_is_of_every_gpu_if_all_are_in_one_machine(monkeypatch, found, asked):
    calls = []
    monkeypatch.setattr(cost_ledger_hook, 'device_uuid', lambda device: 'GPU-a')
    monkeypatch.setattr(cost_ledger_hook, 'all_gather_object', lambda mine: found)
    monkeypatch.setattr(
        cost_ledger_hook, 'energy_meter', lambda uuids: calls.append(uuids) or FakeMeter()
    )
    meter = cost_ledger_hook._energy_of_run(torch.device('cuda'))
    assert calls == ([] if asked is None else [asked])
    assert (meter is None) == (asked is None)
