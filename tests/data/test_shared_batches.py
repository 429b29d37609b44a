"""Batches that come through memory used again are those that torch would pass."""

from functools import partial

import pytest
import torch
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Dataset

from mim_bench.data import shared_batches
from mim_bench.data.masked_samples import collate_masks
from mim_bench.data.shared_batches import share_batches
from mim_bench.errors import DataError


class Images(Dataset):
    """Sample number i holds i everywhere."""

    def __init__(self, views=1, is_sized=False):
        self.views, self.is_sized = views, is_sized

    def __len__(self):
        return 26

    def __getitem__(self, index):
        index = int(index)
        side = 48 + index if self.is_sized else 48
        images = [
            torch.full((3, side + k, side), index, dtype=torch.uint8) for k in range(self.views)
        ]
        sample = DataSample(metainfo={'img_path': f'images/{index}.jpg'})
        sample.set_gt_label(index)
        sample.mask = torch.arange(16).view(4, 4) < 4
        sample.map = torch.full((1, 40, 40), index)  # as large as to lie in the room
        return {'inputs': images[0] if self.views == 1 else images, 'data_samples': sample}


def loaded(dataset, collate, workers, **settings):
    loader = DataLoader(dataset, 4, collate_fn=collate, num_workers=workers, **settings)
    if workers:
        share_batches(loader)
    return loader


def flat(value):
    """All tensors and texts of a batch, in order."""
    if isinstance(value, torch.Tensor | str):
        return [value]
    if isinstance(value, dict):
        return [x for key in sorted(value) for x in (key, *flat(value[key]))]
    if isinstance(value, list | tuple):
        return [x for entry in value for x in flat(entry)]
    if hasattr(value, 'metainfo'):
        return flat({**value.metainfo, **dict(value.items())})
    return flat(vars(value)) if hasattr(value, '__dict__') else [str(value)]


def check_equal(found, wanted):
    assert len(found) == len(wanted) > 0
    for one, other in zip(map(flat, found), map(flat, wanted), strict=True):
        assert [str(x) for x in one] == [str(x) for x in other]
        for a, b in zip(one, other, strict=True):
            if isinstance(a, torch.Tensor):
                torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('dataset', 'collate'),
    [
        (Images(), default_collate),
        (Images(views=2), default_collate),
        (Images(), partial(collate_masks)),
        (Images(is_sized=True), pseudo_collate),
    ],
    ids=['stacked', 'two views', 'masks', 'list of sizes'],
)
def test_batches_are_those_of_the_process_itself(dataset, collate):
    # All are kept, so that memory which is used too early would show.
    found = list(loaded(dataset, collate, 2))

    check_equal(found, list(loaded(dataset, collate, 0)))


def test_workers_that_stay_and_an_epoch_that_is_left_in_the_middle():
    loader = loaded(Images(), default_collate, 2, persistent_workers=True, prefetch_factor=3)
    next(iter(loader))

    for _ in range(2):
        check_equal(list(loader), list(loaded(Images(), default_collate, 0)))


def test_batches_that_are_larger_than_the_room_travel_in_the_pickle(monkeypatch):
    monkeypatch.setattr(shared_batches, 'ROOM_BYTES', 20_000)  # of 27,648 for the images

    found = list(loaded(Images(), default_collate, 1))

    check_equal(found, list(loaded(Images(), default_collate, 0)))


def test_workers_that_are_not_forked_pass_batches_as_torch_does():
    loader = loaded(Images(), default_collate, 1, multiprocessing_context='forkserver')

    check_equal([next(iter(loader))], [next(iter(loaded(Images(), default_collate, 0)))])


def test_batch_that_was_overwritten_is_an_error():
    loader = loaded(Images(), default_collate, 1)
    room = loader.collate_fn
    facts = room._packed([Images()[0]], place=0).facts
    room.counter(0).fill_(room.batches + 2)

    with pytest.raises(RuntimeError, match='wrote its batch 2 where batch 0 was still read'):
        shared_batches._received(*facts)


@pytest.mark.parametrize('workers', [0, 1])
def test_images_of_different_size_are_named(workers):
    loader = DataLoader(Images(is_sized=True), 2, num_workers=workers, collate_fn=default_collate)
    share_batches(loader)

    with pytest.raises(DataError) as caught:
        next(iter(loader))

    assert 'images/0.jpg (48 x 48), images/1.jpg (49 x 49): cannot be made a batch' in str(
        caught.value
    )
    assert 'stack expects each tensor to be equal size' in str(caught.value)


@pytest.mark.parametrize('collate', [default_collate, pseudo_collate, collate_masks])
def test_no_tensor_needs_the_shared_memory_of_torch(collate, monkeypatch):
    """A container's ``/dev/shm`` of 64 MB is enough, as of none."""

    def refuse(*_, **__):
        raise RuntimeError('unable to allocate shared memory')

    for name in ('_new_shared', '_share_fd_cpu_', '_share_filename_cpu_'):
        monkeypatch.setattr(torch.UntypedStorage, name, refuse)

    assert len(list(loaded(Images(), collate, 1, timeout=30))) == 7
