"""Trackers: what they are told of a run, and what is refused before it starts."""

import sqlite3
import types
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from mim_bench.engine import tracking
from mim_bench.engine.launch import Launch, resolve
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import ConfigError
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.toy_runs import make_runner, test_settings


def track(*names):
    return dict(names=list(names), run='mine', task='pretrain')


class FakeWandb(types.ModuleType):
    """Keeps what it is told."""

    def __init__(self):
        super().__init__('wandb')
        self.__spec__ = ModuleSpec('wandb', None)
        self.started, self.logged, self.ended = [], [], 0
        self.config = types.SimpleNamespace(update=lambda content, **_: None)

    def init(self, **settings):
        self.started.append(settings)

    def log(self, scalars, commit=True):
        self.logged.append(scalars)

    def join(self):
        self.ended += 1


@pytest.fixture
def wandb(monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(__import__('sys').modules, 'wandb', fake)
    return fake


def test_wandb_gets_losses_under_the_name_of_the_run(pretraining, wandb):
    make_runner(pretraining(track=track('wandb')), BenchRunner).train()
    (settings,) = wandb.started
    assert (settings['project'], settings['name'], settings['group']) == (
        'mim-bench', 'mine', 'pretrain',
    )  # fmt: skip
    losses = [scalars['loss'] for scalars in wandb.logged if 'loss' in scalars]
    assert len(losses) == 8
    assert wandb.ended == 1


def test_run_that_resumes_goes_on_in_the_same_run_of_wandb(pretraining, wandb):
    cfg = pretraining(track=track('wandb'))
    make_runner(cfg, BenchRunner).train()
    make_runner(cfg, BenchRunner).train()  # anew
    cfg.resume = True
    make_runner(cfg, BenchRunner).train()
    first, second, third = (settings['id'] for settings in wandb.started)
    assert first != second == third


def test_metrics_of_a_test_are_tracked(pretraining, wandb):
    cfg = pretraining(track=track('wandb'), **test_settings())
    metrics = make_runner(cfg, BenchRunner).test()
    assert metrics['knn/top1'] == wandb.logged[-1]['knn/top1']


def test_unknown_and_missing_trackers_are_refused(monkeypatch):
    with pytest.raises(ConfigError, match=r"no such tracker\. Did you mean 'tensorboard'"):
        tracking.check_trackers(['tensorbord'])
    monkeypatch.setattr(tracking, 'find_spec', lambda module: None)
    with pytest.raises(ConfigError, match=r'mlflow is not installed\. Run `pip install mlflow`'):
        tracking.check_trackers(['mlflow'])


def test_trackers_of_a_launch_do_not_change_its_protocol(tmp_path, wandb):
    config = str(find_config(configs_folder(), 'finetune_swin-toy_*'))
    launch = Launch(config, work_dir=str(tmp_path / 'run'))
    tracked = resolve(Launch(config, work_dir=str(tmp_path / 'run'), track=('wandb',)))
    assert tracked.track == dict(names=['wandb'], run='run', task='in1k-ft')
    assert protocol_settings(tracked) == protocol_settings(resolve(launch))


@pytest.mark.parametrize('name', tracking.TRACKERS)
def test_real_tracker_keeps_the_losses(name, pretraining, monkeypatch):
    pytest.importorskip(name, reason=f'{name} is not installed')
    if name == 'mlflow':
        pytest.importorskip('sqlalchemy', reason='mlflow-skinny keeps no runs')
    monkeypatch.setenv('WANDB_MODE', 'offline')
    monkeypatch.delenv('MLFLOW_TRACKING_URI', raising=False)
    runner = make_runner(pretraining(track=track(name)), BenchRunner)
    runner.train()
    folder = Path(runner.work_dir)
    if name == 'tensorboard':
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        (file,) = folder.rglob('events.out.tfevents.*')
        events = EventAccumulator(str(file.parent))
        events.Reload()
        assert [event.step for event in events.Scalars('loss')] == list(range(1, 9))
    elif name == 'wandb':
        (file,) = folder.rglob('*.wandb')
        assert file.stat().st_size
    else:
        with sqlite3.connect(folder / 'mlflow.db') as database:
            rows = database.execute("select step from metrics where key = 'loss' order by step")
            assert [step for (step,) in rows] == list(range(1, 9))
            (names,) = database.execute('select name from runs')
            assert names == ('mine',)
