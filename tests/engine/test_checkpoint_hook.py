"""Saving between intervals: by time, when a run is asked to stop, and on disks that refuse."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.engine.launch import set_save_minutes
from mim_bench.engine.preemption import StopRequest, seconds_of_job
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import CheckpointError, ConfigError, RunInterrupted
from mim_bench.testing.toy_runs import ToyMetric, loader, make_runner


@HOOKS.register_module(force=True)
class SignalHook(Hook):
    """Sends this process a signal in an iteration of the training or the validation."""

    is_observer = True

    def __init__(self, at: int | None = None, in_validation: bool = False) -> None:
        self.at, self.in_validation = at, in_validation

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        """In the training."""
        if runner.iter == self.at:
            os.kill(os.getpid(), signal.SIGTERM)

    def before_val_iter(self, runner, batch_idx, data_batch=None):
        """In the validation."""
        if self.in_validation:
            os.kill(os.getpid(), signal.SIGTERM)


def train(cfg, *, resume=False):
    cfg.resume = resume
    if resume:
        cfg.load_from = str(latest_checkpoint(cfg.work_dir))
    runner = make_runner(cfg, BenchRunner)
    runner.stop_request = StopRequest()
    with runner.stop_request.listening():
        runner.train()
    return runner


def seeded(make, name='run', **changes):
    """3 epochs of 4 iterations whose noise depends on the iteration alone."""
    hooks = [dict(type='mim_bench.IterationSeedHook'), *changes.pop('custom_hooks', [])]
    settings = dict(train_cfg=dict(by_epoch=True, max_epochs=3), custom_hooks=hooks)
    return make(name, **settings | changes)


def losses(runner):
    return runner.message_hub.get_scalar('train/loss').data[0].tolist()


@pytest.mark.parametrize('moment', [0, 5, 7, 10])
def test_run_stopped_by_a_signal_resumes_in_the_middle_of_its_epoch(pretraining, moment):
    whole = train(seeded(pretraining, 'whole'))
    hooks = [dict(type='SignalHook', at=moment)]
    with pytest.raises(RunInterrupted, match=rf'by SIGTERM after {moment + 1} iterations'):
        train(seeded(pretraining, custom_hooks=hooks))
    resumed = train(seeded(pretraining), resume=True)
    assert losses(resumed) == losses(whole)
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)
    # The checkpoint of the epoch took its place.
    assert not (Path(resumed.work_dir) / 'interim.pth').exists()


def test_run_stops_at_a_whole_update(pretraining):
    accumulate = dict(optimizer=dict(type='SGD', lr=0.1), accumulative_counts=4)
    hooks = [dict(type='SignalHook', at=1)]
    with pytest.raises(RunInterrupted, match='after 4 iterations'):
        train(seeded(pretraining, custom_hooks=hooks, optim_wrapper=accumulate))


def test_signal_in_the_last_iteration_ends_as_usual(pretraining):
    runner = train(seeded(pretraining, custom_hooks=[dict(type='SignalHook', at=11)]))
    assert (runner.iter, latest_checkpoint(runner.work_dir).name) == (12, 'epoch_3.pth')


def test_run_stopped_in_a_validation_goes_on_behind_it(pretraining):
    validation = dict(
        val_dataloader=loader(length=3),
        val_cfg=dict(),
        val_evaluator=dict(type=ToyMetric.__name__, values={'accuracy/top1': 1.0}),
        train_cfg=dict(by_epoch=False, max_iters=8, val_interval=3),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4)),
    )
    hooks = [dict(type='SignalHook', in_validation=True)]
    with pytest.raises(RunInterrupted, match='after 3 iterations'):
        train(seeded(pretraining, custom_hooks=hooks, **validation))
    whole = train(seeded(pretraining, 'whole', **validation))
    assert losses(train(seeded(pretraining, **validation), resume=True)) == losses(whole)


def test_run_saves_when_its_minutes_have_passed(pretraining):
    checkpoint = dict(type='CheckpointHook', interval=3, save_minutes=1e-9)
    hooks = dict(checkpoint=checkpoint)
    stop = [dict(type='SignalHook', at=4)]
    with pytest.raises(RunInterrupted):
        train(seeded(pretraining, default_hooks=hooks, custom_hooks=stop))
    runner = make_runner(seeded(pretraining, 'other', default_hooks=hooks), BenchRunner)
    saved = []
    save = runner.save_checkpoint
    runner.save_checkpoint = lambda folder, name, *a, **k: (
        saved.append(name), save(folder, name, *a, **k)
    )  # fmt: skip
    runner.train()
    assert saved == ['interim.pth'] * 11 + ['epoch_3.pth']


def test_stop_request_before_the_training_ends_the_run_at_once():
    with StopRequest().listening(), pytest.raises(RunInterrupted, match='nothing to save'):
        os.kill(os.getpid(), signal.SIGUSR1)


def test_stop_request_comes_before_the_end_of_the_time():
    assert StopRequest(3600).reason() is None
    # The reserve is what three checkpoints take, where that is more.
    assert StopRequest(3600).reason(save_s=1201) == 'the end of its time'
    stop = StopRequest(0.02)
    time.sleep(0.02)
    assert stop.reason() == 'the end of its time'


def test_worker_of_a_loader_ignores_the_first_sigterm_and_dies_of_the_second():
    stop = StopRequest()
    with stop.listening():
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGUSR1)
            os.write(1, b'')
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    assert stop.reason() is None


def test_seconds_of_job_are_those_that_slurm_leaves():
    assert seconds_of_job({}) is None
    left = seconds_of_job({'SLURM_JOB_END_TIME': str(int(time.time()) + 600)})
    assert 590 < left <= 600


def test_save_minutes_of_a_config_that_saves_nothing_are_refused(pretraining):
    cfg = pretraining()
    set_save_minutes(cfg, 5)
    assert cfg.default_hooks.checkpoint == dict(type='CheckpointHook', save_minutes=5)
    cfg.default_hooks.checkpoint = None
    with pytest.raises(ConfigError, match='--save-minutes 5 needs'):
        set_save_minutes(cfg, 5)


@pytest.mark.parametrize(('number', 'advice'), [
    (errno.ENOSPC, 'Free some space'),
    (errno.EROFS, 'The file system is read-only'),
    (errno.ENOENT, 'The folder is gone'),
])  # fmt: skip
def test_checkpoint_that_cannot_be_written_says_what_to_do(
    pretraining, monkeypatch, number, advice
):
    runner = make_runner(seeded(pretraining), BenchRunner)

    def refuse(handle):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, 'fsync', refuse)
    with pytest.raises(CheckpointError, match=rf'epoch_1\.pth: cannot be written .*{advice}'):
        runner.train()
    assert list(Path(runner.work_dir).glob('.*.pth.*')) == []


def test_checkpoint_error_of_a_device_is_not_called_one_of_the_disk(pretraining, monkeypatch):
    runner = make_runner(seeded(pretraining), BenchRunner)

    def fail(*args, **kwargs):
        raise RuntimeError('CUDA error: an illegal memory access was encountered')

    monkeypatch.setattr(torch, 'save', fail)
    with pytest.raises(RuntimeError, match='illegal memory access'):
        runner.train()


def test_training_removes_what_a_killed_run_left_half_written(pretraining):
    cfg = seeded(pretraining)
    stale = Path(cfg.work_dir) / '.interim.pth.node-1.tmp'
    stale.parent.mkdir()
    stale.write_bytes(b'half')
    train(cfg)
    assert not stale.exists()
