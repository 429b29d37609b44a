"""Collating in loader workers: batches in memory that is used again, failures that name the images.

torch makes a file of shared memory for each tensor of a batch, whose pages the kernel clears, and
passes its descriptor through a socket. Here each worker has room for the batches that may wait,
mapped before it starts: large tensors are written there and copied where the batch is received.
"""

import io
import itertools
import math
import mmap
import pickle
import sys
from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakValueDictionary

import torch
from mmengine.dataset import default_collate
from torch.utils.data import DataLoader, get_worker_info

from mim_bench.data.masked_samples import collate_masks
from mim_bench.errors import DataError, first_of

# For each batch that waits. Addresses only: memory is taken when it is written for the first time.
ROOM_BYTES = 1 << 30
_NO_RESERVE = 0x4000  # of mmap(2) on Linux
_HEADER_BYTES = _ALIGNMENT = 64
_LARGE_BYTES = 4096
_STACKING = (default_collate, collate_masks)  # they make one tensor of all ``inputs``
_IMAGES_SHOWN = 8
_KEYS = itertools.count()
_OF_KEY: 'WeakValueDictionary[int, SharedBatches]' = WeakValueDictionary()


def share_batches(loader: DataLoader, *, in_room: bool = True) -> None:
    """Wrap the ``collate_fn`` of a loader that has not begun, in place.

    Args:
        loader: Its workers give batches in order.
        in_room: Whether batches pass through memory that is used again; else torch passes them.
    """
    workers = loader.num_workers if in_room else 0
    loader.collate_fn = SharedBatches(loader.collate_fn, workers, loader.prefetch_factor or 0)


class SharedBatches:
    """A ``collate_fn`` that passes the batches of forked workers through memory used again.

    A worker begins a batch when the one before the last ``waiting`` was received; so many places
    suffice. Each place counts its batches, so that a torn batch would be an error.

    Args:
        collate: Makes a batch of samples.
        workers: Workers of the loader; with 0, or workers that are not forked, torch passes them.
        waiting: Batches of a worker that are made or begun and not received: ``prefetch_factor``.
    """

    def __init__(self, collate: Callable[[Sequence], Any], workers: int, waiting: int) -> None:
        self.collate, self.waiting, self.batches = collate, waiting, 0
        self.room = _mapped(workers * waiting)
        self.key = next(_KEYS)
        _OF_KEY[self.key] = self

    def __reduce__(self) -> tuple:
        return SharedBatches, (self.collate, 0, 0)

    def __call__(self, samples: Sequence) -> Any:
        """Make a batch.

        Raises:
            DataError: The images differ in size; the message names them.
        """
        worker = get_worker_info()
        try:
            if worker is None or self.room is None:
                return self.collate(samples)
            place = worker.id * self.waiting + self.batches % self.waiting
            self.batches += 1
            return self._packed(samples, place)
        except (RuntimeError, ValueError) as error:
            named = dict(zip(*_sizes(samples), strict=True))
            if len(set(named.values())) < 2:
                raise
            raise DataError(_message(named, error)) from error

    def _packed(self, samples: Sequence, place: int) -> '_Packed':
        self.counter(place).fill_(self.batches)
        content = io.BytesIO()
        writer = _Writer(content, self, place)
        stacks = getattr(self.collate, 'func', self.collate) in _STACKING
        has_inputs = isinstance(samples[0], dict) and 'inputs' in samples[0]
        stacked = writer.stack([s['inputs'] for s in samples]) if stacks and has_inputs else None
        if stacked is None:
            batch = self.collate(samples)
        else:
            rest = [{key: s[key] for key in s if key != 'inputs'} for s in samples]
            batch = {'inputs': stacked, **self.collate(rest)}
        writer.dump(batch)
        return _Packed(content.getvalue(), self.key, place, self.batches)

    def counter(self, place: int) -> torch.Tensor:
        """The number of the batch in a place, int64 (1,)."""
        return self.room[place, :8].view(torch.int64)


def _mapped(places: int) -> torch.Tensor | None:
    """Memory that processes forked later share, (places, bytes); None where there can be none."""
    if not places or sys.platform != 'linux':
        return None
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _NO_RESERVE
    try:
        memory = mmap.mmap(-1, places * ROOM_BYTES, flags=flags)
    except OSError:  # a limit of addresses
        return None
    return torch.frombuffer(memory, dtype=torch.uint8).view(places, ROOM_BYTES)


class _Writer(pickle.Pickler):
    """Pickles a batch whose large tensors lie in a place of the room."""

    def __init__(self, file: io.BytesIO, owner: SharedBatches, place: int) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.key, self.room, self.place = owner.key, owner.room, place
        self.used = _HEADER_BYTES

    def stack(self, inputs: Sequence) -> torch.Tensor | list | None:
        """``torch.stack`` in the room, of views one by one; None where it cannot be there."""
        first = inputs[0]
        if not isinstance(first, torch.Tensor):
            if not isinstance(first, list) or len({len(views) for views in inputs}) > 1:
                return None
            views = [self.stack(images) for images in zip(*inputs, strict=True)]
            return None if any(view is None for view in views) else views
        if any(image.dtype != first.dtype for image in inputs):
            return None
        out = self._empty((len(inputs), *first.shape), first.dtype)
        return None if out is None else torch.stack(list(inputs), out=out)

    def reducer_override(self, value: Any) -> Any:
        """Write a large tensor to the room, pickle a small one as an array."""
        is_plain = type(value) is torch.Tensor and value.layout is torch.strided
        if not is_plain or value.device.type != 'cpu' or value.requires_grad:
            return NotImplemented
        held = value if self._is_here(value) else None
        if held is None and value.nbytes >= _LARGE_BYTES:
            held = self._empty(value.shape, value.dtype)
            if held is not None:
                held.copy_(value)
        if held is not None:
            start = held.data_ptr() - self.room.data_ptr()
            return _copied, (self.key, start, tuple(held.shape), held.dtype)
        try:
            return torch.from_numpy, (value.numpy(),)
        except TypeError:  # NumPy has no such type
            return NotImplemented

    def _empty(self, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor | None:
        """A tensor in the room; None if that is full."""
        size = math.prod(shape) * dtype.itemsize
        start, end = self.used, self.used + size
        if end > self.room.shape[1]:
            return None
        self.used = -(-end // _ALIGNMENT) * _ALIGNMENT
        return self.room[self.place, start:end].view(dtype).view(*shape)

    def _is_here(self, value: torch.Tensor) -> bool:
        return value.untyped_storage().data_ptr() == self.room.untyped_storage().data_ptr()


class _Packed:
    """A batch on its way; it becomes the batch where it is unpickled."""

    def __init__(self, *facts: Any) -> None:
        self.facts = facts

    def __reduce__(self) -> tuple:
        return _received, self.facts


def _received(content: bytes, key: int, place: int, number: int) -> Any:
    batch = pickle.loads(content)  # noqa: S301  from a worker of this process
    found = int(_OF_KEY[key].counter(place))
    if found != number:
        raise RuntimeError(
            f'A loader worker wrote its batch {found} where batch {number} was still read. Set '
            "train_dataloader.loading='plain' and report this."
        )
    return batch


def _copied(key: int, start: int, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    size = math.prod(shape) * dtype.itemsize
    return _OF_KEY[key].room.view(-1)[start : start + size].view(dtype).view(shape).clone()


def _sizes(samples: Sequence) -> tuple[list[str], list[str]]:
    """A name for each sample, and the size of its image or images."""
    names, sizes = [], []
    for place, sample in enumerate(samples):
        known = sample if isinstance(sample, dict) else {}
        path = getattr(known.get('data_samples'), 'metainfo', {}).get('img_path')
        views = known.get('inputs')
        images = views if isinstance(views, list) else [views]
        tensors = [image for image in images if isinstance(image, torch.Tensor)]
        names.append(str(path or f'image {place} of the batch'))
        sizes.append(', '.join(' x '.join(map(str, tensor.shape[-2:])) for tensor in tensors))
    return names, sizes


def _message(sizes: dict[str, str], error: Exception) -> str:
    images = [f'{name} ({size})' for name, size in sizes.items()]
    return (
        f'{first_of(images, _IMAGES_SHOWN)}: cannot be made a batch: '
        f'{" ".join(str(error).split()).rstrip(".")}. Let the pipeline end in a crop or a resize '
        'to one size.'
    )
