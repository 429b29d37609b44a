"""The heartbeat of a run: what it says, how often, and that it never ends a run."""

from dataclasses import asdict
from pathlib import Path

import pytest

from mim_bench.engine.heartbeat import HEARTBEAT_FILE, Heartbeat
from mim_bench.engine.hooks import heartbeat_hook
from mim_bench.engine.hooks.heartbeat_hook import HeartbeatHook
from mim_bench.engine.runner import BenchRunner
from mim_bench.files.atomic import stamp
from mim_bench.testing.toy_runs import make_runner


@pytest.fixture
def beats(monkeypatch):
    """Every beat that is written."""
    written = []

    class Kept(Heartbeat):
        def write(self, folder):
            written.append(self)
            super().write(folder)

    monkeypatch.setattr(heartbeat_hook, 'Heartbeat', Kept)
    return written


def train(cfg, every_s, clock):
    runner = make_runner(cfg, BenchRunner)
    (hook,) = (hook for hook in runner.hooks if isinstance(hook, HeartbeatHook))
    hook._every_s, hook._clock = every_s, clock
    runner.train()
    return runner


def test_heartbeat_says_place_loss_and_speed_of_a_training(pretraining, beats):
    seconds = iter(range(1000))
    runner = train(pretraining(), 0.0, lambda: float(next(seconds)))
    first, *others = beats
    assert (first.phase, first.total) == ('start', 0)
    # 2 epochs of 4 iterations.
    assert [(b.phase, b.done, b.total) for b in others] == [('train', n, 8) for n in range(1, 9)]
    assert all(beat.loss > 0 and beat.images_per_s > 0 for beat in others)
    assert others[-1].seconds_left == 0
    assert asdict(Heartbeat.read(Path(runner.work_dir))) == asdict(others[-1])


def test_heartbeat_is_written_every_few_seconds_not_every_iteration(pretraining, beats):
    train(pretraining(), 10.0, lambda: 0.0)
    assert [beat.phase for beat in beats] == ['start']


def test_heartbeat_that_cannot_be_written_ends_no_run(pretraining):
    cfg = pretraining()
    (Path(cfg.work_dir) / 'heartbeat.json').mkdir(parents=True)
    train(cfg, 0.0, lambda: 0.0)


@pytest.mark.parametrize('text', ['', '{"phase": ', '{"phase": "train"}', '[]'])
def test_heartbeat_cut_short_or_of_another_version_is_none(tmp_path, text):
    (tmp_path / 'heartbeat.json').write_text(text)
    assert Heartbeat.read(tmp_path) is None


def test_stamp_differs_between_two_beats(tmp_path):
    assert stamp(tmp_path / HEARTBEAT_FILE) is None
    stamps = set()
    for done in range(3):
        Heartbeat('train', done, 3, 'now').write(tmp_path)
        stamps.add(stamp(tmp_path / HEARTBEAT_FILE))
    assert len(stamps) == 3
    assert [path.name for path in tmp_path.iterdir()] == ['heartbeat.json']
