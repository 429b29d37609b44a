"""A run that is killed and started again ends as an undisturbed one, bit for bit."""

import re
import signal
from pathlib import Path

import pytest
import torch

from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.resume import latest_checkpoint
from mim_bench.errors import RunInterrupted
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, write_child
from mim_bench.testing.processes import train_by_script

PRETRAINING = """
train_dataloader = dict(batch_size=8)
effective_batch_size = 8
train_cfg = dict(max_epochs=3)
param_scheduler = dict(warmup_epochs=1)
"""
CLASSIFICATION = """
train_dataloader = dict(batch_size=8)
effective_batch_size = 8
val_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = dict(warmup_epochs=1)
"""
# Stage: config of the demo, changes, iterations of a run.
STAGES = {
    'pretrain-ummae': ('ummae_swin-toy_', PRETRAINING, 15),
    'pretrain-simmim': ('simmim_swin-toy_', PRETRAINING, 15),
    'classify': ('finetune_ummae-swin-toy_', CLASSIFICATION + """
model = dict(
    backbone=dict(drop_path_rate=0.2),
    train_cfg=dict(_delete_=True, augments=[dict(type='mim_bench.Mixup')]),
)
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='mim_bench.RandAugment'),
    dict(type='mim_bench.RandomErasing'),
    dict(type='PackInputs', algorithm_keys=['erased']),
]
""", 15),
    'segment': ('upernet_ummae-swin-toy_', """
train_dataloader = dict(batch_size=3)
effective_batch_size = 3
train_cfg = dict(max_iters=6, val_interval=6)
default_hooks = dict(checkpoint=dict(interval=2))
""", 6),
    'detect': ('mask-rcnn_ummae-swin-toy_', """
train_dataloader = dict(batch_size=2)
effective_batch_size = 2
train_cfg = dict(max_epochs=3, val_interval=3)
""", 12),
}  # fmt: skip
SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ('pretrain-simmim', 'classify', 'segment', 'detect')
]


INTERRUPTED = RunInterrupted.exit_status


class Stage:
    """Starts one stage's training in processes of its own."""

    def __init__(self, name: str, toy_root: Path, folder: Path):
        prefix, self.text, self.num_iters = STAGES[name]
        self.base = find_config(configs_folder(), f'{prefix}*')
        self.data, self.folder = data_root(self.base, toy_root), folder

    def train(self, work_dir: str, kill: str = '', num_processes: int = 1) -> int:
        config = self.folder / f'{work_dir}{"-killed" if kill else ""}.py'
        hook = f'dict(type="KillHook", {kill})'
        write_child(config, self.base, self.text, hook)
        words = ['--auto-resume', '--data-root', self.data, '--run-id', work_dir]
        words += ['--work-dir', self.folder / work_dir, '--results-dir', self.folder / 'results']
        done = train_by_script(config, words, num_processes)
        assert done.returncode in (0, -signal.SIGKILL, INTERRUPTED), done.stderr[-3000:]
        return done.returncode

    def checkpoint(self, work_dir: str) -> dict:
        return read_checkpoint(latest_checkpoint(self.folder / work_dir))

    def metrics(self, work_dir: str) -> dict:
        record = read_record(self.folder / 'results' / work_dir / 'record.json')
        return {name: metric.value for name, metric in record.metrics.items()}


def assert_same_end(stage: Stage, one: str, other: str) -> None:
    ours, theirs = stage.checkpoint(one), stage.checkpoint(other)
    assert ours['meta']['iter'] == stage.num_iters
    assert ours['param_schedulers'] == theirs['param_schedulers']
    assert ours['optimizer']['param_groups'] == theirs['optimizer']['param_groups']
    for one_state, other_state in (
        (ours['state_dict'], theirs['state_dict']),
        (ours['optimizer']['state'], theirs['optimizer']['state']),
    ):
        torch.testing.assert_close(one_state, other_state, rtol=0, atol=0)
    losses = [
        c['message_hub']['log_scalars']['train/loss'].data[0].tolist() for c in (ours, theirs)
    ]
    assert len(losses[0]) == stage.num_iters
    assert losses[0] == losses[1]
    assert stage.metrics(one) == stage.metrics(other)


@pytest.mark.parametrize('name', ['pretrain-ummae', *SLOW])
def test_killed_run_started_again_ends_as_an_undisturbed_one(name, toy_root, tmp_path):
    stage = Stage(name, toy_root, tmp_path)
    assert stage.train('undisturbed') == 0
    # In the middle of an epoch, and not on the iteration of a checkpoint.
    middle = stage.num_iters * 2 // 3 + 1
    assert stage.train('disturbed', kill=f'iteration={middle}') == -signal.SIGKILL
    first = stage.checkpoint('disturbed')['meta']['iter']
    assert 0 < first < middle
    assert stage.train('disturbed') == 0
    assert_same_end(stage, 'undisturbed', 'disturbed')


def interrupted(name, moment, signal_name, num_processes=1, rank=None):
    """A case of the next test."""
    is_default = (name, moment, num_processes) == ('pretrain-ummae', 7, 1)
    marks = () if is_default else pytest.mark.slow
    return pytest.param(name, moment, signal_name, num_processes, rank, marks=marks)


@pytest.mark.parametrize(('name', 'moment', 'signal_name', 'num_processes', 'rank'), [
    interrupted('pretrain-ummae', 7, 'SIGTERM'),
    interrupted('pretrain-ummae', 4, 'SIGUSR2'),  # the last of an epoch
    interrupted('pretrain-ummae', 6, 'SIGUSR1', 2),
    interrupted('classify', 3, 'SIGUSR1'),
    interrupted('classify', 8, 'SIGTERM', 2, rank=1),
    interrupted('segment', 2, 'SIGTERM'),
    interrupted('segment', 1, 'SIGUSR1', 2, rank=0),
    interrupted('detect', 5, 'SIGUSR1'),
    interrupted('detect', 2, 'SIGTERM', 2),
])  # fmt: skip
def test_run_that_is_asked_to_stop_loses_nothing_and_ends_as_an_undisturbed_one(
    name, moment, signal_name, num_processes, rank, toy_root, tmp_path
):
    stage = Stage(name, toy_root, tmp_path)
    if num_processes == 2:
        stage.text = re.sub(r'(train_dataloader = dict\(batch_size=)(\d+)', halve, stage.text)
    assert stage.train('undisturbed', num_processes=num_processes) == 0
    hook = f'iteration={moment}, name="{signal_name}", rank={rank}'
    assert stage.train('disturbed', hook, num_processes) == INTERRUPTED
    # The iteration of the signal is kept; several processes agree one later.
    latest = latest_checkpoint(tmp_path / 'disturbed')
    stopped_at = moment + num_processes
    assert read_checkpoint(latest)['meta']['iter'] == stopped_at
    assert latest.name == 'interim.pth'
    assert not (tmp_path / 'results' / 'disturbed' / 'record.json').exists()
    assert stage.train('disturbed', num_processes=num_processes) == 0
    assert_same_end(stage, 'undisturbed', 'disturbed')
    assert not latest.exists()


def halve(match):
    return f'{match[1]}{int(match[2]) // 2}'


@pytest.mark.slow
def test_run_that_is_asked_to_stop_in_its_last_validation_validates_again(toy_root, tmp_path):
    stage = Stage('segment', toy_root, tmp_path)
    assert stage.train('undisturbed') == 0
    assert stage.train('disturbed', 'validation=0, name="SIGTERM"') == INTERRUPTED
    assert stage.train('disturbed') == 0
    assert_same_end(stage, 'undisturbed', 'disturbed')


@pytest.mark.slow
@pytest.mark.parametrize('name', ['segment', 'detect'])
def test_run_killed_in_its_last_validation_validates_again(name, toy_root, tmp_path):
    stage = Stage(name, toy_root, tmp_path)
    assert stage.train('undisturbed') == 0
    assert stage.train('disturbed', kill='validation=0') == -signal.SIGKILL
    assert stage.train('disturbed') == 0
    assert_same_end(stage, 'undisturbed', 'disturbed')


def test_latest_checkpoint_is_the_one_that_is_named(tmp_path):
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (tmp_path / name).touch()
    # The folder was moved since the run.
    (tmp_path / 'last_checkpoint').write_text('/elsewhere/epoch_1.pth')
    assert latest_checkpoint(tmp_path) == tmp_path / 'epoch_1.pth'


@pytest.mark.parametrize('pointer', ['', 'epoch_11.pth', None])
def test_latest_checkpoint_pointer_lost_takes_the_highest_number(tmp_path, pointer):
    for name in ('iter_9.pth', 'iter_10.pth', '.iter_11.pth.tmp', 'converted.pth'):
        (tmp_path / name).touch()
    if pointer is not None:
        (tmp_path / 'last_checkpoint').write_text(pointer)
    assert latest_checkpoint(tmp_path) == tmp_path / 'iter_10.pth'


def test_latest_checkpoint_of_an_empty_or_absent_folder_is_none(tmp_path):
    assert latest_checkpoint(tmp_path) is None
    assert latest_checkpoint(tmp_path / 'absent') is None
