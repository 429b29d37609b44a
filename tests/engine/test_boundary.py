"""An error of a library is one message: phase, iteration, images, remedy; the log has the rest."""

import errno
import os
import re
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.registry import DATASETS, MODELS

from mim_bench.data.seeding import SeededDataset, skipped_images
from mim_bench.engine.boundary import explained_failure, ignoring_dead_workers
from mim_bench.engine.launch import _recorded
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import DataError, MimBenchError, RunError
from mim_bench.testing.toy_runs import ToyImages, ToyNet, loader, make_runner

pytestmark = pytest.mark.usefixtures('impatient_loaders')


class FailingNet(ToyNet):
    """Fails in the third iteration, as a library does."""

    text = 'Expected more than 1 value per channel when training, got input size [1, 48, 1, 1]'
    calls = 0

    def forward(self, inputs, data_samples=None, mode='tensor'):
        self.calls += 1
        if self.calls == 3:
            raise ValueError(self.text)
        return super().forward(inputs, data_samples, mode)


class DamagedImages(ToyImages):
    """Two of the images cannot be read; one is broken by a transform of a library."""

    def get_data_info(self, index):
        return {'img_path': f'images/{index}.jpg'}

    def __getitem__(self, index):
        if index in (4, 5):
            raise DataError(f'images/{index}.jpg: does not decode')
        return super().__getitem__(index)


class CrashingImages(DamagedImages):
    def __getitem__(self, index):
        if index == 4:
            raise IndexError('list index out of range')
        return ToyImages.__getitem__(self, index)


class DyingImages(DamagedImages):
    """Ends the worker that makes the fifth sample."""

    def __init__(self, end, **settings):
        super().__init__(**settings)
        self.end = end

    def __getitem__(self, index):
        if index == 4:
            if self.end is None:
                raise KeyboardInterrupt
            os.kill(os.getpid(), self.end)
        return ToyImages.__getitem__(self, index)


@pytest.fixture(autouse=True)
def _registered():
    images = (DamagedImages, CrashingImages, DyingImages)
    classes = [(MODELS, FailingNet), *((DATASETS, cls) for cls in images)]
    for registry, cls in classes:
        registry.register_module(module=cls, force=True)
    yield
    for registry, cls in classes:
        registry.module_dict.pop(cls.__name__)


def failed(cfg):
    """The message of a training that fails."""
    runner = make_runner(cfg, BenchRunner)
    with pytest.raises(MimBenchError) as caught, _recorded(cfg) as run:  # noqa: PT012
        run.runner = runner
        runner.train()
    return caught.value, runner


def test_error_of_a_library_is_one_message_with_its_place_and_remedy(pretraining):
    error, runner = failed(pretraining(model=dict(type='FailingNet')))

    text = str(error)
    assert isinstance(error, RunError)
    assert 'training, iteration 3 of epoch 1, images images/' in text
    assert 'ValueError: Expected more than 1 value per channel' in text
    assert 'Raise train_dataloader.batch_size to 2 or more' in text
    assert '\n' not in text
    (log,) = [path for path in map(str, runner_logs(runner)) if path in text]
    assert 'Traceback (most recent call last)' in Path(log).read_text()


def runner_logs(runner):
    return Path(runner.work_dir).rglob('*.log')


@pytest.mark.parametrize('workers', [0, 1])
def test_image_that_breaks_a_transform_is_named(pretraining, workers):
    settings = loader(type='CrashingImages')
    settings['num_workers'] = workers

    error, _ = failed(pretraining(train_dataloader=settings))

    assert isinstance(error, DataError)
    assert str(error).startswith('images/4.jpg: cannot be made a sample: IndexError: list index')
    assert '\n' not in str(error)


@pytest.mark.parametrize(
    'end',
    [signal.SIGKILL, signal.SIGBUS, None],
    ids=['killed by the kernel', 'bus error on shared memory', 'interrupted'],
)
def test_worker_that_dies_is_one_message(pretraining, end):
    settings = loader(type='DyingImages', end=end)
    settings['num_workers'] = 1

    error, _ = failed(pretraining(train_dataloader=settings))

    assert re.search(r': training, iteration \d of epoch 1: \w+Error: ', str(error))
    assert 'Lower num_workers, or give the container more' in str(error)
    assert '\n' not in str(error)


def test_death_of_a_worker_while_a_failure_is_told_raises_nothing():
    def heard(*_):
        raise RuntimeError('DataLoader worker is killed')  # as torch does

    before = signal.signal(signal.SIGCHLD, heard)
    try:
        with ignoring_dead_workers():
            subprocess.run(['true'], check=True)
        assert signal.getsignal(signal.SIGCHLD) is heard
    finally:
        signal.signal(signal.SIGCHLD, before)


@pytest.mark.parametrize(
    ('text', 'remedy'),
    [
        ("No module named 'tensorboard'", 'pip install tensorboard'),
        ("No module named 'einops'", 'Install it with pip'),
        ('stack expects each tensor to be equal size, but got [3] and [4]', 'differ in size'),
        ('selected index k out of range', 'topk'),
        ('DataLoader worker (pid 7) is killed by signal: Killed.', 'Lower num_workers'),
        ('unable to write to file </torch_7>: No space left on device (28)', '--shm-size'),
        ('unable to allocate shared memory(shm) for file </torch_7>: Success (0)', '--shm-size'),
        ('received 0 items of ancdata', 'ulimit -n'),
        ("DefaultCPUAllocator: can't allocate memory: you tried", 'ran out of memory'),
        ('something that nobody has seen', '--debug shows the traceback'),
    ],
)
def test_known_causes_have_a_remedy(text, remedy):
    told = explained_failure(RuntimeError(text), SimpleNamespace(filename='mine.py'), None)

    assert str(told).startswith('mine.py: building the run: RuntimeError: ')
    assert remedy in str(told)


@pytest.mark.parametrize(
    ('error', 'wrong'),
    [
        (ValueError('images in /data/tensorboard-screens have 4 channels'), 'pip install'),
        (EOFError('Ran out of input'), 'worker'),
    ],
)
def test_other_causes_have_no_wrong_remedy(error, wrong):
    assert wrong not in str(explained_failure(error, SimpleNamespace(filename='mine.py'), None))


def test_batch_of_images_of_different_sizes_names_the_setting():
    preprocessor = MODELS.build(dict(type='mmseg.SegDataPreProcessor'))
    batch = {'inputs': [torch.zeros(3, 4, 4), torch.zeros(3, 4, 5)], 'data_samples': [None] * 2}
    with pytest.raises(AssertionError) as caught:
        preprocessor(batch)
    told = explained_failure(caught.value, SimpleNamespace(filename='mine.py'), None)
    assert 'Set val_dataloader.batch_size and test_dataloader.batch_size to 1' in str(told)


@pytest.mark.parametrize(
    ('number', 'remedy'),
    [
        (errno.EROFS, 'make it writable, or use another --work-dir, and run again.'),
        (errno.ENOSPC, 'Free some space and run again.'),
        (errno.ENOTDIR, 'A file stands where a folder is needed: use another --work-dir,'),
    ],
)
def test_file_system_that_refuses_is_told_with_its_remedy(number, remedy):
    error = OSError(number, os.strerror(number), '/disk/work')

    told = str(explained_failure(error, SimpleNamespace(filename='mine.py'), None))

    assert told.startswith(f'/disk/work: {os.strerror(number)}. ')
    assert remedy in told


def test_message_of_a_worker_is_the_first_error_without_its_traceback():
    text = (
        'Caught DataError in DataLoader worker process 0.\nOriginal Traceback (most recent call '
        'last):\n  File "x.py", line 3, in fetch\n    data = read()\nmim_bench.errors.DataError: '
        'a.jpg: is empty (0 bytes).'
    )

    told = explained_failure(DataError(text), SimpleNamespace(filename='mine.py'), None)

    assert (type(told), str(told)) == (DataError, 'a.jpg: is empty (0 bytes).')


def test_bad_image_stops_by_default_and_is_skipped_if_asked(tmp_path):
    skip_list = tmp_path / 'skipped.txt'
    stopping = SeededDataset(dict(type='DamagedImages'), 0)
    skipping = SeededDataset(dict(type='DamagedImages'), 0, str(skip_list))

    with pytest.raises(DataError, match=r'images/4\.jpg: does not decode'):
        stopping[4]
    samples = [skipping[i]['data_samples'].img_path for i in (3, 4, 5, 4)]

    assert samples == [f'images/{i}.jpg' for i in (3, 6, 6, 6)]
    assert skipped_images(skip_list) == ['images/4.jpg', 'images/5.jpg']


def test_data_set_of_bad_images_ends_with_a_message(tmp_path):
    dataset = SeededDataset(dict(type='DamagedImages', length=2), 0, str(tmp_path / 'list'))
    dataset.dataset.__class__ = type(
        'AllDamaged',
        (DamagedImages,),
        {'__getitem__': lambda self, i: (_ for _ in ()).throw(DataError(f'{i}: broken'))},
    )

    with pytest.raises(DataError, match=r'this image and the 9 after it cannot be read'):
        dataset[0]
