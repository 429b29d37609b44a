"""A run that is killed and started again ends as an undisturbed one, bit for bit."""

import functools
import signal

import pytest

from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.testing.stages import INTERRUPTED, Stage

SLOW = [
    pytest.param(name, marks=pytest.mark.slow)
    for name in ('pretrain-simmim', 'classify', 'segment', 'detect')
]


@pytest.fixture(scope='module')
def undisturbed(toy_root, tmp_path_factory):
    """How an undisturbed run of a stage ends; it is trained once."""

    @functools.cache
    def end_of(name, num_processes):
        stage = Stage(name, toy_root, tmp_path_factory.mktemp('undisturbed'), num_processes)
        assert stage.train('undisturbed') == 0
        return stage.end('undisturbed')

    return end_of


@pytest.mark.parametrize('name', ['pretrain-ummae', *SLOW])
def test_killed_run_started_again_ends_as_an_undisturbed_one(name, undisturbed, toy_root, tmp_path):
    stage = Stage(name, toy_root, tmp_path)
    # In the middle of an epoch, and not on the iteration of a checkpoint.
    middle = stage.num_iters * 2 // 3 + 1
    assert stage.train('disturbed', kill=f'iteration={middle}') == -signal.SIGKILL
    first = stage.saved('disturbed')
    assert 0 < first < middle
    assert stage.train('disturbed') == 0
    assert stage.end('disturbed') == undisturbed(name, 1)


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
    name, moment, signal_name, num_processes, rank, undisturbed, toy_root, tmp_path
):
    stage = Stage(name, toy_root, tmp_path, num_processes)
    hook = f'iteration={moment}, name="{signal_name}", rank={rank}'
    assert stage.train('disturbed', hook) == INTERRUPTED
    # The iteration of the signal is kept; several processes agree one later.
    latest = latest_checkpoint(tmp_path / 'disturbed')
    assert stage.saved('disturbed') == moment + num_processes
    assert latest.name == 'interim.pth'
    assert not (tmp_path / 'results' / 'disturbed' / 'record.json').exists()
    assert stage.train('disturbed') == 0
    assert stage.end('disturbed') == undisturbed(name, num_processes)
    assert not latest.exists()


@pytest.mark.slow
def test_run_that_is_asked_to_stop_in_its_last_validation_validates_again(
    undisturbed, toy_root, tmp_path
):
    stage = Stage('segment', toy_root, tmp_path)
    assert stage.train('disturbed', 'validation=0, name="SIGTERM"') == INTERRUPTED
    assert stage.train('disturbed') == 0
    assert stage.end('disturbed') == undisturbed('segment', 1)


@pytest.mark.slow
@pytest.mark.parametrize('name', ['segment', 'detect'])
def test_run_killed_in_its_last_validation_validates_again(name, undisturbed, toy_root, tmp_path):
    stage = Stage(name, toy_root, tmp_path)
    assert stage.train('disturbed', kill='validation=0') == -signal.SIGKILL
    assert stage.train('disturbed') == 0
    assert stage.end('disturbed') == undisturbed(name, 1)


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
