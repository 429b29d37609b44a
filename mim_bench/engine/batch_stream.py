"""The batches of an iteration-based training, which resume where they were without reading on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mmengine.runner.loops
from mmengine.dataset import DefaultSampler
from mmengine.logging import print_log
from mmengine.runner import IterBasedTrainLoop
from torch.utils.data import BatchSampler, DataLoader

from mim_bench.data.seeding import SeededSampler


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
        self._start = 0  # draws of the first epoch that are skipped
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

        Samplers whose draws can be counted are moved; of others, such as those that sort
        images by their shape, the batches are read and thrown away, and the log says so.
        """
        if self._iterator is not None or num_batches <= 0:
            return
        sampler = self._countable_sampler()
        if sampler is None:
            print_log(
                f'The order of the batches cannot be computed: {num_batches} batches are read to '
                'find the place where the run stopped.',
                logger='current',
            )
            for _ in range(num_batches):
                next(self)
            return
        rest = num_batches
        if not sampler.is_endless:
            self._epoch, rest = divmod(num_batches, len(self._loader))
        self._start = rest * self._loader.batch_size

    def ignore(self, num_calls: int) -> None:
        """Give None so many times: mmengine's original loop counts through what is skipped."""
        self._num_ignored = num_calls

    def _start_epoch(self, start: int) -> None:
        batches = self._loader.batch_sampler
        for sampler in (self._loader.sampler, getattr(batches, 'sampler', None)):
            if isinstance(sampler, SeededSampler):
                sampler.start = start
            if hasattr(sampler, 'set_epoch'):
                sampler.set_epoch(self._epoch)
        self._iterator = iter(self._loader)

    def _countable_sampler(self) -> SeededSampler | None:
        sampler = self._loader.sampler
        is_plain = type(self._loader.batch_sampler) is BatchSampler
        if is_plain and isinstance(sampler, SeededSampler):
            # Of other samplers it is not known whether and when they end.
            is_known = sampler.is_endless or isinstance(sampler.sampler, DefaultSampler)
            return sampler if is_known else None
        return None


@contextmanager
def streaming_loops() -> Iterator[None]:
    """Iteration-based loops that are built inside read from a :class:`BatchStream`."""
    theirs = mmengine.runner.loops._InfiniteDataloaderIterator
    mmengine.runner.loops._InfiniteDataloaderIterator = BatchStream
    try:
        yield
    finally:
        mmengine.runner.loops._InfiniteDataloaderIterator = theirs


def resume_stream(loop: IterBasedTrainLoop) -> None:
    """Bring the stream of a loop that resumes to its place, before it runs."""
    stream = loop.dataloader_iterator
    if not isinstance(stream, BatchStream) or not loop.iter:
        return
    stream.skip_iter(loop.iter)
    if not hasattr(loop, 'fast_forward_on_resume'):  # mmengine's original
        stream.ignore(loop.iter)
