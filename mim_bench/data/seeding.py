"""Samples that depend on the seed and their place in the epoch, on nothing else.

A sampler numbers its draws; a dataset seeds the random generators with that
number before it loads a sample. Augmentations and masks are then the same
whatever the number of workers or processes, and after a run was killed and resumed.
"""

import gc
import itertools
import random
from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info
from mmengine.registry import DATA_SAMPLERS as ROOT_SAMPLERS
from mmengine.registry import DATASETS as ROOT_DATASETS
from torch.utils.data import Sampler

from mim_bench.data.fused import fuse_pipeline
from mim_bench.errors import DataError, MimBenchError
from mim_bench.registry import DATA_SAMPLERS, DATASETS

# In a work directory: images that a training left out, one a line, with the reason.
SKIP_LIST = 'skipped_images.txt'
_SKIPPED_IN_A_ROW = 10
# Whether `_something_is_frozen` has found something.
_is_frozen = False


class SeededIndex(int):
    """An index into a dataset that knows which draw of which epoch it is."""

    epoch: int
    draw: int

    def __new__(cls, index: int, epoch: int, draw: int) -> 'SeededIndex':
        """Make an integer with two attributes."""
        self = super().__new__(cls, index)
        self.epoch, self.draw = epoch, draw
        return self

    def __reduce__(self) -> tuple:
        return SeededIndex, (int(self), self.epoch, self.draw)


@DATA_SAMPLERS.register_module()
class SeededSampler(Sampler):
    """Wraps a sampler of mmengine and numbers its draws over all ranks.

    Args:
        sampler: Config of a sampler that takes every world_size-th index, starting at
            its rank, as mmengine's do.
        dataset: Passed on to it.
        seed: Passed on to it.

    Attributes that this class has not are the wrapped sampler's.

    Attributes:
        start: The draws of a rank begin here the next time; what comes before is not loaded.
        is_endless: Whether the draws never end.
    """

    def __init__(self, sampler: dict, dataset: Sized, seed: int | None = None) -> None:
        # The root registry looks names up in the default scope, as for an unwrapped config.
        self.sampler = ROOT_SAMPLERS.build(sampler, default_args=dict(dataset=dataset, seed=seed))
        self.epoch = 0
        self.start = 0
        self.is_endless = isinstance(self.sampler, InfiniteSampler)
        self._num_dataset = len(dataset)
        self._length: int | None = None

    def __iter__(self) -> Iterator[SeededIndex]:
        rank, world_size = get_dist_info()
        start, self.start = self.start, 0
        draws = iter(self.sampler)
        if self._length is not None:
            # Where the last group is filled up, the epoch's first draws come again.
            rounds = itertools.chain.from_iterable(itertools.repeat(self.sampler))
            draws = itertools.islice(rounds, self._length)
        for k, index in enumerate(itertools.islice(draws, start, None), start=start):
            yield SeededIndex(index, self.epoch, k * world_size + rank)

    def __len__(self) -> int:
        return len(self.sampler) if self._length is None else self._length

    def fit_to_groups(self, size: int, *, fill: bool) -> None:
        """End an epoch with a whole group of draws, the same on any number of ranks.

        Args:
            size: Draws of a rank that make a group.
            fill: Complete the last group with the epoch's first draws; else leave it out.
        """
        _, world_size = get_dist_info()
        total = len(self.sampler) * world_size
        # A sampler may repeat a few draws so that each rank has as many.
        if 0 <= total - self._num_dataset < world_size:
            total = self._num_dataset
        groups, rest = divmod(total, size * world_size)
        self._length = size * (groups + bool(rest and fill))

    def set_epoch(self, epoch: int) -> None:
        """Tell which epoch the next draws belong to."""
        self.epoch = epoch
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)

    def _skip(self, num_samples: int) -> None:
        """Start at this draw of the rank, without loading what comes before."""
        self.start = num_samples

    def __getattr__(self, name: str) -> Any:
        if name in ('sampler', 'is_endless'):  # not set yet while unpickling
            raise AttributeError(name)
        # mmengine's fork asks for `skip` to resume in the middle of an endless stream. Samplers
        # that end have none: the start would hold for every epoch that follows.
        return self._skip if name == 'skip' and self.is_endless else getattr(self.sampler, name)


@DATA_SAMPLERS.register_module()
class StartingBatchSampler(Sampler):
    """Wraps a sampler of batches, such as one that sorts images by shape, to begin in the middle.

    The batches before are composed, since what follows depends on them, but not loaded.

    Args:
        batch_sampler: Config of a sampler of batches.
        sampler: Passed on to it.
        batch_size: Passed on to it.

    Attributes that this class has not are the wrapped sampler's.

    Attributes:
        start: Batches that are left out the next time.
    """

    def __init__(self, batch_sampler: dict, sampler: Sampler, batch_size: int) -> None:
        given = dict(sampler=sampler, batch_size=batch_size)
        self.batches = ROOT_SAMPLERS.build(batch_sampler, default_args=given)
        self.start = 0

    def __iter__(self) -> Iterator[Sequence[int]]:
        start, self.start = self.start, 0
        return itertools.islice(iter(self.batches), start, None)

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name == 'batches':  # not set yet while unpickling
            raise AttributeError(name)
        return getattr(self.batches, name)


def _something_is_frozen() -> bool:
    """Whether something is frozen. Counting it takes 0.1 s, so it is counted once a process."""
    global _is_frozen
    _is_frozen = _is_frozen or gc.get_freeze_count() > 0
    return _is_frozen


@contextmanager
def _nothing_to_collect() -> Iterator[None]:
    """Hide what exists from the garbage collector.

    mmengine's data sets call it when they are built: 0.2 s for each to walk over the imports.
    Where something is frozen already, as in forked processes, it stays so: else the next
    collection would copy the pages of all that is shared.
    """
    if _something_is_frozen():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@DATASETS.register_module()
class SeededDataset:
    """Wraps a dataset and seeds Python, NumPy and torch before every numbered sample.

    Args:
        dataset: Config of any dataset of mmengine.
        seed: Seed of the run.
        skip_list: A file to which the images are added that cannot be made a sample; the next
            image takes the place of each. None: the first one is an error.
        loading: One of :data:`mim_bench.data.fused.LOADING`.

    Attributes that this class has not are the wrapped dataset's.
    """

    def __init__(
        self, dataset: dict, seed: int, skip_list: str | None = None, loading: str = 'fused'
    ) -> None:
        with _nothing_to_collect():
            self.dataset = ROOT_DATASETS.build(dataset)
        if loading == 'fused':
            fuse_pipeline(self.dataset)
        self.seed = seed
        self.skip_list = skip_list

    def __getitem__(self, index: int) -> Any:
        """A sample.

        Raises:
            DataError: It cannot be made; the message names the image.
        """
        if isinstance(index, SeededIndex):
            seed_everything(self.seed, index.epoch, index.draw)
        for step in range(_SKIPPED_IN_A_ROW):
            place = (int(index) + step) % len(self.dataset)
            try:
                return self._sample(place)
            except DataError as error:
                if self.skip_list is None:
                    raise
                self._note(place, error)
        raise DataError(
            f'{self._name(int(index))}: this image and the {_SKIPPED_IN_A_ROW - 1} after it cannot '
            f'be read; {self.skip_list} lists them. Check the data with `mim-bench data check`.'
        )

    def _sample(self, place: int) -> Any:
        try:
            return self.dataset[place]
        except MimBenchError:
            raise
        except Exception as error:  # whatever the transforms of three libraries raise
            reason = ' '.join(str(error).split())
            raise DataError(
                f'{self._name(place)}: cannot be made a sample: {type(error).__name__}: {reason}. '
                'Look at the image and its annotation.'
            ) from error

    def _name(self, place: int) -> str:
        info = self.dataset.get_data_info(place) if hasattr(self.dataset, 'get_data_info') else {}
        return str(info.get('img_path') or f'image {place}')

    def _note(self, place: int, error: DataError) -> None:
        line = f'{self._name(place)}\t{" ".join(str(error).split())}\n'
        # One write to a file that is open for appending: lines of several workers stay whole.
        with open(self.skip_list, 'a', encoding='utf-8', errors='surrogateescape') as file:
            file.write(line)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':
            raise AttributeError(name)
        return getattr(self.dataset, name)


def skipped_images(path: str | Path) -> list[str]:
    """The images that a skip list names, each once, sorted; none where there is no list."""
    try:
        lines = Path(path).read_text('utf-8', 'surrogateescape').splitlines()
    except FileNotFoundError:
        return []
    return sorted({line.partition('\t')[0] for line in lines})


def seed_everything(*words: int, cuda: bool = False) -> None:
    """Seed the global generators of Python, NumPy and torch from several numbers.

    Args:
        *words: Non-negative; any difference gives other streams.
        cuda: Seed the GPUs' generators too (not in a worker of a data loader).
    """
    state = np.random.SeedSequence(words).generate_state(2)
    random.seed(int(state[0]))
    np.random.seed(int(state[0]))
    # torch.manual_seed would also touch CUDA, which a forked worker must not.
    torch.default_generator.manual_seed(int(state[1]))
    if cuda and torch.cuda.is_available():
        torch.cuda.manual_seed_all(int(state[1]))
