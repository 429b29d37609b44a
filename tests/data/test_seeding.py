"""The samples of a run depend on its seed and their place in the epoch, on nothing else."""

import gc
import random

import mmengine.dataset
import numpy as np
import pytest
import torch
from mmengine.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader, Dataset, Sampler

from mim_bench.data import seeding
from mim_bench.data.seeding import SeededDataset, SeededIndex, SeededSampler, seed_everything

LENGTH = 12


class Draws(Dataset):
    """Its samples are their index and one draw of each generator."""

    classes = ('a', 'b')

    def __len__(self):
        return LENGTH

    def __getitem__(self, index):
        return (index, random.random(), np.random.rand(), torch.rand(()).item())


class Repeated(Sampler):
    """Every index three times, as mmpretrain's repeated augmentation deals them."""

    def __init__(self, dataset, seed=None):
        self.dataset = dataset

    def __iter__(self):
        return iter([i for i in range(len(self.dataset)) for _ in range(3)])

    def __len__(self):
        return 3 * len(self.dataset)


@pytest.fixture(autouse=True)
def _registry():
    DATASETS.register_module(module=Draws, force=True)
    DATA_SAMPLERS.register_module(module=Repeated, force=True)
    yield
    DATASETS.module_dict.pop('Draws')
    DATA_SAMPLERS.module_dict.pop('Repeated')


@pytest.fixture
def be_rank(monkeypatch):
    def set_rank(rank, world_size):
        for module in (seeding, mmengine.dataset.sampler):
            monkeypatch.setattr(module, 'get_dist_info', lambda: (rank, world_size))

    return set_rank


def samples(
    kind='DefaultSampler', *, seed=0, epoch=0, num_workers=0, skip=0, count=None, **sampler
):
    dataset = SeededDataset(dict(type='Draws'), seed)
    numbered = SeededSampler(dict(type=kind, **sampler), dataset, seed)
    numbered.set_epoch(epoch)
    if skip:
        numbered.skip(skip)
    loader = DataLoader(
        dataset, batch_size=2, sampler=numbered, num_workers=num_workers, collate_fn=list
    )
    found = []
    for batch in loader:
        found += batch
        if count and len(found) >= count:
            return found[:count]
    return found


def test_seeded_samples_are_the_same_whatever_the_number_of_workers():
    alone = samples()
    assert sorted(index for index, *_ in alone) == list(range(LENGTH))
    assert alone == samples(num_workers=2)


@pytest.mark.parametrize('kind', ['DefaultSampler', 'InfiniteSampler'])
def test_seeded_samples_are_the_same_whatever_the_number_of_processes(be_rank, kind):
    alone = samples(kind, count=LENGTH)
    parts = []
    for rank in range(3):
        be_rank(rank, 3)
        parts.append(samples(kind, count=LENGTH // 3))
    assert [sample for step in zip(*parts, strict=True) for sample in step] == alone


def test_seeded_samples_differ_between_epochs_and_seeds():
    first = samples(shuffle=False)
    for other in (samples(shuffle=False, epoch=1), samples(shuffle=False, seed=1)):
        for one, two in zip(first, other, strict=True):
            assert one[0] == two[0]
            assert all(a != b for a, b in zip(one[1:], two[1:], strict=True))


def test_seeded_samples_of_a_repeated_index_differ():
    drawn = samples('Repeated')
    assert [index for index, *_ in drawn[:6]] == [0, 0, 0, 1, 1, 1]
    assert len({draw for _, draw, *_ in drawn}) == 3 * LENGTH


def test_seeded_samples_do_not_depend_on_what_was_drawn_before():
    first = samples()
    random.seed(99)
    np.random.seed(99)
    torch.manual_seed(99)
    assert samples() == first


@pytest.mark.parametrize(('rank', 'world_size'), [(0, 1), (1, 2)])
def test_seeded_sampler_skip_goes_on_with_the_same_samples(be_rank, rank, world_size):
    be_rank(rank, world_size)
    whole = samples('InfiniteSampler', count=30)
    assert samples('InfiniteSampler', skip=14, count=16) == whole[14:]


def test_seeded_sampler_that_ends_cannot_skip():
    """The start would hold for every later epoch; mmengine then steps through the batches."""
    dataset = SeededDataset(dict(type='Draws'), 0)
    assert not hasattr(SeededSampler(dict(type='DefaultSampler'), dataset, 0), 'skip')


def test_seeded_dataset_plain_index_is_not_seeded():
    dataset = SeededDataset(dict(type='Draws'), 0)
    assert dataset[3] != dataset[3]
    assert dataset[SeededIndex(3, 0, 5)] == dataset[SeededIndex(3, 0, 5)]


def test_seeded_wrappers_show_what_they_wrap():
    dataset = SeededDataset(dict(type='Draws'), 0)
    sampler = SeededSampler(dict(type='DefaultSampler', shuffle=False), dataset, 4)
    assert (len(dataset), dataset.classes) == (LENGTH, ('a', 'b'))
    assert (len(sampler), sampler.shuffle, sampler.sampler.seed) == (LENGTH, False, 4)
    with pytest.raises(AttributeError, match='absent'):
        dataset.absent  # noqa: B018


def test_seed_everything_any_word_changes_every_stream():
    def draws(*words):
        seed_everything(*words)
        return random.random(), np.random.rand(), torch.rand(()).item()

    drawn = [draws(*words) for words in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 1))]
    assert drawn[0] == drawn[3]
    for stream in zip(*drawn[:3], strict=True):
        assert len(set(stream)) == 3


@pytest.mark.parametrize('is_frozen', [False, True])
def test_seeded_dataset_leaves_frozen_what_a_forked_process_has_frozen(is_frozen, monkeypatch):
    monkeypatch.setattr(seeding, '_is_frozen', False)
    gc.unfreeze()
    if is_frozen:
        gc.freeze()
    SeededDataset(dict(type='Draws'), seed=0)
    found = gc.get_freeze_count() > 0
    gc.freeze()  # as conftest.py leaves it
    assert found == is_frozen
