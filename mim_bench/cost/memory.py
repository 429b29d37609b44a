"""Memory of a training step beyond the idle process with its weights.

Peak minus baseline, both of one process. On CUDA: bytes of tensors
(``max_memory_allocated``), so optimiser states, gradients, activations and buffers count and
the weights do not. On CPU: resident size; data loader workers are processes of their own and
do not count.
"""

import contextlib
import ctypes
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch

_STATUS = Path('/proc/self/status')
_CLEAR_REFS = Path('/proc/self/clear_refs')
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
_SMALL_BLOCK = 2**18
_USUAL_BLOCK = 2**25  # the largest that glibc's own rule reaches


class MemoryMeter(Protocol):
    """Interface of memory meters; ``peak_bytes`` is None before the first sample."""

    peak_bytes: int | None

    def start(self) -> None:
        """Set the present memory as baseline, unless there is one, and reset the peak."""

    def sample(self) -> None:
        """Update the peak since :meth:`start`."""


def memory_meter(device: torch.device) -> MemoryMeter:
    """The memory meter for training on a device: GPU memory, or resident memory on a CPU."""
    return CudaMemory(device) if device.type == 'cuda' else ResidentMemory()


class ResidentMemory:
    """Peak of the resident size above that at the first :meth:`start`.

    Linux keeps a high-water mark that a process can reset (by writing 5 to
    ``clear_refs``); the peak is exact then, inside a step too. Where the reset is refused,
    the mark is used once it exceeds its old value; until then only the sizes at the
    times of sampling are known, and the result is a lower bound.
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self._baseline: int | None = None
        self._old_mark = 0

    def start(self) -> None:
        """Set the baseline (the first time) and reset the high-water mark."""
        _return_freed_memory()
        _reset_high_water_mark()
        size, mark = resident_bytes()
        if self._baseline is None:
            self._baseline = size
        # After a reset the mark equals the size, and any later mark is a peak of ours.
        self._old_mark = mark if mark > size else 0

    def sample(self) -> None:
        """Raise the peak to the high-water mark, or to the present size."""
        size, mark = resident_bytes()
        reached = mark if mark > self._old_mark else size
        self.peak_bytes = max(self.peak_bytes or 0, reached - (self._baseline or 0))


@contextlib.contextmanager
def exact_allocation() -> Iterator[None]:
    """Context in which glibc returns every large block to the system as soon as it is freed.

    The C library otherwise keeps freed blocks and splits them, so that a peak of
    the resident size includes unused memory: up to a fifth, and different in every
    process. Slow; not for timing. Without glibc it does nothing.
    """
    _set_allocation(_SMALL_BLOCK)
    try:
        yield
    finally:
        _set_allocation(_USUAL_BLOCK)


def _set_allocation(mapped_from: int) -> None:
    """Set the size from which blocks are mapped individually."""
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, mapped_from)
        # The threshold that glibc reaches by itself after large blocks were freed.
        library.mallopt(_M_TRIM_THRESHOLD, 2 * _USUAL_BLOCK)


class CudaMemory:
    """Peak of tensor memory on a GPU above that at the first :meth:`start`."""

    def __init__(self, device: torch.device) -> None:
        self.peak_bytes: int | None = None
        self._device = device
        self._baseline: int | None = None

    def start(self) -> None:
        """Set the baseline (the first time) and reset the peak."""
        torch.cuda.reset_peak_memory_stats(self._device)
        if self._baseline is None:
            self._baseline = torch.cuda.memory_allocated(self._device)

    def sample(self) -> None:
        """Update the peak. Call it in every step, since mmengine's logger resets the counter."""
        reached = torch.cuda.max_memory_allocated(self._device) - (self._baseline or 0)
        self.peak_bytes = max(self.peak_bytes or 0, reached)


def resident_bytes() -> tuple[int, int]:
    """Resident size and its high-water mark; the mark twice where only it is known."""
    try:
        lines = _STATUS.read_text().splitlines()
        sizes = {key: value for key, _, value in (line.partition(':') for line in lines)}
        return _kib(sizes['VmRSS']), _kib(sizes['VmHWM'])
    except (OSError, KeyError):  # not Linux, or a sandbox without these lines
        # On Linux that of whoever started the process counts, too.
        mark = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mark *= 1 if sys.platform == 'darwin' else 1024
        return mark, mark


def _kib(text: str) -> int:
    return int(text.split()[0]) * 1024


def _reset_high_water_mark() -> None:
    # Refused in some containers; see the class for what is measured then.
    with contextlib.suppress(OSError):
        _CLEAR_REFS.write_text('5\n')


def _return_freed_memory() -> None:
    """Return memory that model building or evaluation freed, so that it does not count as used."""
    with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
