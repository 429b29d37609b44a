"""The batches of a training, which resume where they were without reading what came before."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest import mock

import mmengine.runner.loops
from mmengine.dataset import DefaultSampler
from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import BatchSampler, DataLoader

from mim_bench.conversion.weight_files import INTERIM_FILE
from mim_bench.data.seeding import SeededSampler, StartingBatchSampler
from mim_bench.errors import ConfigError
from mim_bench.registry import LOOPS


class BatchStream:
    """An endless iterator over a loader, epoch after epoch.

    It takes the place of mmengine's own, whose original release reads every batch that a
    resumed run has had already, and whose maintained fork does so for some samplers.

    Args:
        loader: Its workers start with the first batch, not before.
    """

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._iterator: Iterator[Any] | None = None
        self._epoch = 0
        self._start = 0  # batches of the first epoch that are skipped
        self._num_ignored = 0

    def __iter__(self) -> 'BatchStream':
        return self

    def __next__(self) -> Any:
        if self._num_ignored:
            self._num_ignored -= 1
            return None
        if self._iterator is None:
            self._start_epoch(self._start)
        try:
            return next(self._iterator)
        except StopIteration:
            self._epoch += 1
            self._start_epoch(0)
            return next(self._iterator)

    def skip_iter(self, num_batches: int) -> None:
        """Stand where a stream is after so many batches; a fresh stream only.

        Where the order of the batches cannot be computed, they are read and thrown away, and the
        log says so.
        """
        if self._iterator is not None or num_batches <= 0:
            return
        sampler = _seeded_sampler(self._loader)
        # Of other samplers it is not known whether and when they end.
        is_known = sampler is not None and isinstance(sampler.sampler, DefaultSampler)
        if sampler is not None and sampler.is_endless:
            self._start = num_batches
        elif is_known:
            self._epoch, self._start = divmod(num_batches, len(self._loader))
        else:
            print_log(
                f'The order of the batches cannot be computed: {num_batches} batches are read to '
                'find the place where the run stopped.',
                logger='current',
            )
            for _ in range(num_batches):
                next(self)

    def ignore(self, num_calls: int) -> None:
        """Give None so many times: mmengine's original loop counts through what is skipped."""
        self._num_ignored = num_calls

    def _start_epoch(self, start: int) -> None:
        batches = self._loader.batch_sampler
        start_at(self._loader, start)
        for sampler in (self._loader.sampler, getattr(batches, 'sampler', None)):
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(self._epoch)
        self._iterator = iter(self._loader)


@LOOPS.register_module()
class EpochTrainLoop(EpochBasedTrainLoop):
    """mmengine's loop over epochs, whose first one may begin in its middle."""

    _start = 0

    def begin_at(self, num_draws: int) -> None:
        """Begin the next epoch behind so many samples.

        Args:
            num_draws: Number of draws of all processes together, as :func:`draws_of` counted them.
        """
        self._start = num_draws // draws_of(self.dataloader, 1)

    def run_epoch(self) -> None:
        """Iterate over one epoch, or the rest of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        start, self._start = self._start, 0
        start_at(self.dataloader, start)
        for index, batch in enumerate(self.dataloader, start):
            self.run_iter(index, batch)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1


def draws_of(loader: DataLoader, num_batches: int) -> int:
    """The samples of so many batches on all processes, the last of an epoch counted as full."""
    return num_batches * loader.batch_sampler.batch_size * get_world_size()


def start_at(loader: DataLoader, num_batches: int) -> None:
    """Let the next iteration over a loader begin behind so many batches."""
    if isinstance(loader.batch_sampler, StartingBatchSampler):
        loader.batch_sampler.start = num_batches
    elif (sampler := _seeded_sampler(loader)) is not None:
        sampler.start = num_batches * loader.batch_size
    elif num_batches:
        raise ConfigError(
            'A run that was stopped in the middle of an epoch resumes with samplers that a config '
            'describes; this loader was built ready-made. Resume from a checkpoint of an epoch: '
            f'delete {INTERIM_FILE}.'
        )


def _seeded_sampler(loader: DataLoader) -> SeededSampler | None:
    """The sampler whose draws batches are made of."""
    batches = loader.batch_sampler
    if isinstance(batches, StartingBatchSampler):
        sampler = getattr(batches, 'sampler', None)
    else:
        sampler = loader.sampler if type(batches) is BatchSampler else None
    return sampler if isinstance(sampler, SeededSampler) else None


def streaming_loops() -> AbstractContextManager:
    """Context in which iteration-based loops are built that read from a :class:`BatchStream`."""
    return mock.patch.object(mmengine.runner.loops, '_InfiniteDataloaderIterator', BatchStream)


def resume_stream(loop: IterBasedTrainLoop) -> None:
    """Bring the stream of a loop that resumes to its place, before it runs."""
    stream = loop.dataloader_iterator
    if not isinstance(stream, BatchStream) or not loop.iter:
        return
    stream.skip_iter(loop.iter)
    if not hasattr(loop, 'fast_forward_on_resume'):  # mmengine's original
        stream.ignore(loop.iter)
