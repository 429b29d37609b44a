"""The cost of a run, computed from the events of its loop. Knows no runner and no files."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from mim_bench.cost.energy import EnergyMeter
from mim_bench.cost.memory import MemoryMeter

SERIES_LENGTH = 1024


class DecimatedSeries:
    """Keeps every n-th value of a series; n doubles when ``length`` (even) values are kept."""

    def __init__(self, length: int = SERIES_LENGTH) -> None:
        self.values: list[float] = []
        self._length = length
        self._stride = 1
        self._skipped = 0

    def append(self, value: float) -> None:
        """Add a value; every n-th one is kept."""
        self._skipped += 1
        if self._skipped < self._stride:
            return
        self._skipped = 0
        self.values.append(value)
        if len(self.values) >= self._length:
            self.values = self.values[1::2]
            self._stride *= 2

    def state_dict(self) -> dict[str, Any]:
        """Plain data for :meth:`load_state_dict`."""
        return {'values': list(self.values), 'stride': self._stride, 'skipped': self._skipped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue an earlier series."""
        self.values = list(state['values'])
        self._stride, self._skipped = state['stride'], state['skipped']


class CostLedger:
    """Sums up the cost of a training; evaluation in between does not count.

    The loop reports, for each iteration, :meth:`wait_for_data`, :meth:`begin_step` and
    :meth:`end_step`, all between :meth:`start` and :meth:`stop`. What lies between
    :meth:`pause` and :meth:`resume` is excluded.

    - ``wall_s``: seconds between start and stop without pauses; includes waiting for data,
      checkpoints and logging, but not building the model.
    - ``img_per_s``: median over iterations of samples / (wait + step), without the first
      ``warmup`` iterations after each start of a process.
    - ``data_wait_share``: sum of waits / sum of (wait + step) over the same iterations.
    - ``device_hours``: wall hours times devices; ``gpu_hours`` the same on GPUs, 0 on CPU.
    - ``peak_mem_bytes``: see :mod:`mim_bench.cost.memory`.
    - ``energy_joules``: over the same time as ``wall_s``, see :mod:`mim_bench.cost.energy`;
      None if a part of it was not measured.

    Sums continue over :meth:`load_state_dict`, also with another number of devices.

    Args:
        device: Name of the device, for the record.
        is_gpu: Whether its hours are GPU hours.
        num_devices: GPUs, or processes on CPU, that train together.
        memory: Memory meter of this process; None: not measured.
        energy: Energy meter of all devices of the run; None: not measured.
        warmup: Number of iterations excluded from speed and waiting, but not from the time.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self,
        *,
        device: str = 'cpu',
        is_gpu: bool = False,
        num_devices: int = 1,
        memory: MemoryMeter | None = None,
        energy: EnergyMeter | None = None,
        warmup: int = 5,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.device = device
        self.is_gpu = is_gpu
        self.num_devices = num_devices
        self.memory = memory
        self._warmup = warmup
        self._clock = clock
        self._wall_s = self._device_s = self._gpu_s = 0.0
        self._wait_s = self._iteration_s = 0.0
        self._rates = DecimatedSeries()
        self._peak: int | None = None
        self._energy = energy
        self._energy_j = None if energy is None else 0.0
        self._energy_mark: float | None = None
        self._iterations_here = 0
        self._pauses = 0
        self._running_since: float | None = None
        self._waiting_since: float | None = None
        self._stepping_since: float | None = None

    def start(self) -> None:
        """Training begins; the present memory is the baseline."""
        if self.memory is not None:
            self.memory.start()
        self._mark_energy()
        self._running_since = self._clock()

    def stop(self) -> None:
        """Training ends."""
        self._settle()
        self._running_since = self._waiting_since = self._stepping_since = None

    def pause(self) -> None:
        """Work that is not training begins; pauses may nest."""
        self._settle()
        self._pauses += 1
        self._waiting_since = None

    def resume(self) -> None:
        """The pause ends; waiting for data starts again."""
        self._pauses -= 1
        if self._pauses == 0 and self._running_since is not None:
            if self.memory is not None:
                self.memory.start()
            self._mark_energy()
            self._running_since = self._waiting_since = self._clock()

    def wait_for_data(self) -> None:
        """The loop asks the loader for the next batch."""
        self._waiting_since = self._clock()

    def begin_step(self) -> None:
        """The batch has arrived."""
        self._stepping_since = self._clock()

    def end_step(self, num_samples: int) -> None:
        """The step has ended.

        Args:
            num_samples: Images of this iteration on all devices.
        """
        if self.memory is not None:
            self.memory.sample()
        self._iterations_here += 1
        if self._stepping_since is None or self._iterations_here <= self._warmup:
            return
        waited = self._waiting_since is not None
        wait_s = self._stepping_since - self._waiting_since if waited else 0.0
        iteration_s = wait_s + self._clock() - self._stepping_since
        self._wait_s += wait_s
        self._iteration_s += iteration_s
        if iteration_s > 0 and num_samples:
            self._rates.append(num_samples / iteration_s)

    def raise_peak(self, peak_bytes: int) -> None:
        """Take the peak of another process into account."""
        self._peak = max(self._peak or 0, peak_bytes)

    @property
    def peak_mem_bytes(self) -> int | None:
        """Highest memory of one process so far, restarts included."""
        peaks = [self._peak, self.memory.peak_bytes if self.memory is not None else None]
        return max((peak for peak in peaks if peak is not None), default=None)

    def summary(self) -> dict[str, Any]:
        """The fields of :class:`mim_bench.results.record.Cost`; None where nothing was measured."""
        self._settle()
        rates, total = self._rates.values, self._iteration_s
        return {
            'gpu_hours': self._gpu_s / 3600,
            'device_hours': self._device_s / 3600,
            'wall_s': self._wall_s,
            'img_per_s': statistics.median(rates) if rates else None,
            'data_wait_share': self._wait_s / total if total else None,
            'peak_mem_bytes': self.peak_mem_bytes,
            'energy_joules': self._energy_j,
            'device': self.device,
            'num_devices': self.num_devices,
        }

    def state_dict(self) -> dict[str, Any]:
        """Plain data, up to this moment, for :meth:`load_state_dict` of a later process."""
        self._settle()
        return {
            'wall_s': self._wall_s,
            'device_s': self._device_s,
            'gpu_s': self._gpu_s,
            'wait_s': self._wait_s,
            'iteration_s': self._iteration_s,
            'rates': self._rates.state_dict(),
            'peak_mem_bytes': self.peak_mem_bytes,
            'energy_joules': self._energy_j,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the state of an earlier process."""
        self._wall_s, self._device_s = state['wall_s'], state['device_s']
        self._gpu_s = state['gpu_s']
        self._wait_s, self._iteration_s = state['wait_s'], state['iteration_s']
        self._rates.load_state_dict(state['rates'])
        self._peak = state['peak_mem_bytes']
        # Older states have no energy; a sum with an unknown part is unknown.
        earlier = state.get('energy_joules')
        if self._energy_j is not None:
            self._energy_j = earlier

    def _settle(self) -> None:
        """Add the time since the last call, unless the ledger is stopped or paused."""
        if self._running_since is None or self._pauses:
            return
        now = self._clock()
        elapsed, self._running_since = now - self._running_since, now
        self._wall_s += elapsed
        self._device_s += elapsed * self.num_devices
        self._gpu_s += elapsed * self.num_devices * self.is_gpu
        self._book_energy()

    def _mark_energy(self) -> None:
        """Read the counters as the new baseline."""
        if self._energy is not None:
            self._energy_mark = self._energy.joules()

    def _book_energy(self) -> None:
        """Add the counters' increase; a failed or decreasing reading makes the sum None."""
        before = self._energy_mark
        self._mark_energy()
        if self._energy_j is None:
            return
        if before is None or self._energy_mark is None or self._energy_mark < before:
            self._energy_j = None
        else:
            self._energy_j += self._energy_mark - before
