"""Every pre-training config of the demo learns, alone, in bfloat16 and in pairs, and resumes.

A method is covered as soon as ``configs/demo`` has a config of it; but for one, they are slow.
"""

import math
import shutil
from pathlib import Path

import pytest
from torch import multiprocessing

from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.engine.launch import Launch
from mim_bench.testing.demo_runs import (
    data_root,
    pretraining_configs,
    read_losses,
    read_rank_losses,
    short_name,
    write_child,
)
from mim_bench.testing.processes import train_by_script, train_forked

FAST = 'ummae_vit-toy'
NUM_ITERS = 16  # of an epoch: 256 images
# The warm-up of the config would be longer than the run.
SHORT = """
train_dataloader = dict(batch_size=16)
effective_batch_size = 16
train_cfg = dict(max_epochs=2)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = dict(warmup_epochs=0.25)
log_level = 'ERROR'
"""
BFLOAT16 = "optim_wrapper = dict(type='mim_bench.Bfloat16OptimWrapper', optimizer=dict(lr=1e-3))\n"
# The last quarter's loss by the first's: 0.99 or more without learning, 0.83 or less with it.
LEARNT = 0.95
LOSS_HOOK = 'dict(type="LossHook")'
# In pairs each process has half of a batch.
PAIR_OPTIONS = {'train_cfg.max_epochs': 1, 'train_dataloader.batch_size': 8}


class Training:
    """Starts short trainings of one config."""

    def __init__(self, base: Path, toy_root: Path, folder: Path):
        self.base, self.folder = base, folder
        self.data_root = data_root(base, toy_root)

    def run(self, name: str, epochs: int = 1, text: str = '', hook: str = '') -> list[float]:
        """Train from the newest checkpoint on; the losses of all iterations."""
        train_forked(self._launch(name, text, hook, {'train_cfg.max_epochs': epochs}))
        return read_losses(self.folder / name)

    def run_pair(self, name: str) -> list[list[float]]:
        """Train one epoch in two processes; the losses of both."""
        train_forked(self._launch(name, '', LOSS_HOOK, PAIR_OPTIONS), num_processes=2)
        return read_rank_losses(self.folder / name, 2)

    def script_pair(self, name: str, text: str) -> list[list[float]]:
        """The same through the launcher that users start."""
        launch = self._launch(name, text, LOSS_HOOK, PAIR_OPTIONS)
        options = [f'{key}={value}' for key, value in PAIR_OPTIONS.items()]
        words = ['--work-dir', launch.work_dir, '--data-root', launch.data_root]
        done = train_by_script(launch.config, [*words, '--cfg-options', *options], num_processes=2)
        assert done.returncode == 0, done.stderr[-3000:]
        return read_rank_losses(self.folder / name, 2)

    def _launch(self, name: str, text: str, hook: str, options: dict) -> Launch:
        config = write_child(self.folder / f'{name}.py', self.base, SHORT + text, hook)
        return Launch(
            str(config),
            work_dir=str(self.folder / name),
            data_root=str(self.data_root),
            auto_resume=True,
            options=options,
        )


def configs():
    """Those of the demo; a default suite trains one."""
    for path in pretraining_configs():
        marks = () if short_name(path) == FAST else pytest.mark.slow
        yield pytest.param(path, id=short_name(path), marks=marks)


@pytest.fixture(scope='module', params=configs())
def training(request, digits, tmp_path_factory):
    return Training(request.param, digits, tmp_path_factory.mktemp(short_name(request.param)))


@pytest.fixture(scope='module')
def losses(training):
    """Of an epoch in float32."""
    return training.run('single')


@pytest.fixture(scope='module')
def whole(training):
    """Of an undisturbed training of two epochs; its checkpoints lie in a folder of that name."""
    return training.run('whole', epochs=2)


def assert_learns(*ranks: list[float]) -> None:
    assert all(math.isfinite(loss) for losses in ranks for loss in losses)
    means = [sum(losses) / len(losses) for losses in zip(*ranks, strict=True)]
    assert len(means) == NUM_ITERS
    quarter = NUM_ITERS // 4
    assert sum(means[-quarter:]) < LEARNT * sum(means[:quarter]), means


def test_epoch_in_float32_loss_is_finite_and_falls(losses):
    assert_learns(losses)


def test_epoch_in_bfloat16_loss_is_finite_and_falls(training, losses):
    mixed = training.run('mixed', text=BFLOAT16)
    assert_learns(mixed)
    # The same images, masks and weights: only the rounding differs, and it does.
    assert mixed[0] != losses[0]
    assert mixed[0] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.slow
def test_epoch_in_two_processes_loss_is_finite_and_falls(training):
    first, second = training.run_pair('pair')
    assert first[0] != second[0]  # other images
    assert_learns(first, second)


@pytest.mark.slow  # by default engine/test_resume.py and engine/test_fsdp.py resume a method each
def test_second_epoch_resumed_has_the_losses_of_the_undisturbed_run(training, whole):
    work_dir = training.folder / 'resumed'
    work_dir.mkdir()
    shutil.copy(training.folder / 'whole' / 'epoch_1.pth', work_dir)
    resumed = training.run('resumed', epochs=2)
    assert len(resumed) == 2 * NUM_ITERS
    assert resumed == whole


@pytest.mark.slow
def test_killed_run_started_again_has_the_losses_of_the_undisturbed_run(training, whole):
    kill = f'dict(type="KillHook", iteration={NUM_ITERS + 5})'
    with pytest.raises(multiprocessing.ProcessExitedException, match='SIGKILL'):
        training.run('killed', epochs=2, hook=kill)
    assert latest_checkpoint(training.folder / 'killed').name == 'epoch_1.pth'
    assert training.run('killed', epochs=2) == whole


@pytest.mark.slow
def test_launcher_in_bfloat16_loss_is_finite_and_falls(training):
    assert_learns(*training.script_pair('mixed-pair', BFLOAT16))
