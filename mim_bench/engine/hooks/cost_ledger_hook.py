"""The hook that keeps the cost ledger of a run, over restarts too."""

import json
import platform
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.dist import all_gather_object, all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mim_bench.cost.energy import EnergyMeter, device_uuid, energy_meter
from mim_bench.cost.ledger import CostLedger
from mim_bench.cost.memory import memory_meter
from mim_bench.engine.batch import num_samples
from mim_bench.engine.environment import device_name
from mim_bench.files.atomic import write_atomically
from mim_bench.registry import HOOKS
from mim_bench.results.record import Cost, utc_now

STATE_FILE = 'cost_ledger.json'
STATE_KEY = 'cost_ledger'


@HOOKS.register_module()
class CostLedgerHook(Hook):
    """Measure what training costs: see :class:`mim_bench.cost.ledger.CostLedger`.

    Validation does not count, nor what other hooks do inside :func:`outside_cost`. In a run
    that only tests, the seconds are those of the test.

    Note:
        - Restarts: the state goes into every checkpoint and, at each epoch's end, each
          checkpoint and every ``flush_s`` seconds, into ``cost_ledger.json`` in the work
          directory. A run that resumes takes the file if it belongs to the same run as the
          checkpoint, so iterations that were lost with a killed process count, but for the
          last ``flush_s`` seconds; otherwise it takes the checkpoint's state. A run that
          does not resume starts from zero.
        - Samples are this process's times the number of processes: samplers deal equally.
        - Energy is that of all GPUs, where NVML counts it and all are in one machine.
        - It runs before the logger, which resets CUDA's peak counter, and after mmengine has
          read the loss, which waits for the device, so times need no synchronisation.

    Args:
        warmup: Iterations after each start that do not count for speed.
        flush_s: Seconds between writes of the state file.
        clock: Seconds that only move forward; for tests.
    """

    priority = 'ABOVE_NORMAL'

    def __init__(
        self,
        warmup: int = 5,
        flush_s: float = 30.0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.ledger: CostLedger | None = None
        self.started_at = utc_now()
        self._warmup = warmup
        self._flush_s = flush_s
        self._clock = clock
        self._flushed_at = clock()
        self._run_key = uuid.uuid4().hex
        self._loaded_state: dict[str, Any] | None = None
        self._has_trained = False

    def before_run(self, runner: Runner) -> None:
        """Open the ledger of the device; a model that is to be sharded is not on it yet."""
        if self.ledger is not None:
            return
        device = torch.device(get_device())
        self.ledger = CostLedger(
            device=device_name(device),
            is_gpu=device.type == 'cuda',
            num_devices=get_world_size(),
            memory=memory_meter(device),
            energy=_energy_of_run(device),
            warmup=self._warmup,
            clock=self._clock,
        )
        runner.register_hook(_AfterOtherHooks(self.ledger))

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the state that the checkpoint holds; used if the run resumes from it."""
        self._loaded_state = checkpoint.get(STATE_KEY)

    def before_train(self, runner: Runner) -> None:
        """Go on with an earlier process's ledger and start the clock."""
        state = self._state_to_resume(runner) if runner._resume else None
        if state is not None:
            self.ledger.load_state_dict(state['ledger'])
            self._run_key, self.started_at = state['run_key'], state['started_at']
        self._has_trained = True
        self.ledger.start()
        self.flush(runner)

    def before_train_epoch(self, runner: Runner) -> None:
        """The first wait of an epoch begins."""
        self.ledger.wait_for_data()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """The batch is there."""
        self.ledger.begin_step()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """The step is done."""
        self.ledger.end_step(num_samples(data_batch) * get_world_size())
        if self._clock() - self._flushed_at >= self._flush_s:
            self.flush(runner)

    def before_val(self, runner: Runner) -> None:
        """Validation does not count."""
        self.ledger.pause()

    def after_val(self, runner: Runner) -> None:
        """Continue the clock after a validation."""
        self.ledger.resume()

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the state."""
        self.flush(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the state into the checkpoint; mmengine calls this on the main process only."""
        checkpoint[STATE_KEY] = self._state()
        self.flush(runner)

    def after_train(self, runner: Runner) -> None:
        """Stop the clock, and take the highest peak memory of all processes."""
        self.ledger.stop()
        peak = torch.tensor([self.ledger.peak_mem_bytes or 0], dtype=torch.int64)
        all_reduce(peak, op='max')
        if int(peak):
            self.ledger.raise_peak(int(peak))
        self.flush(runner)

    def before_test(self, runner: Runner) -> None:
        """A run without training is timed while it tests."""
        if not self._has_trained:
            self.ledger.start()

    def after_test(self, runner: Runner) -> None:
        """Stop the clock."""
        if not self._has_trained:
            self.ledger.stop()

    def flush(self, runner: Runner) -> None:
        """Write the state file, on the main process; a folder that vanished is not made again."""
        self._flushed_at = self._clock()
        path = Path(runner.work_dir) / STATE_FILE
        if is_main_process() and self._has_trained and path.parent.is_dir():
            write_atomically({path: json.dumps(self._state()).encode()})

    def _state(self) -> dict[str, Any]:
        return {
            'run_key': self._run_key,
            'started_at': self.started_at,
            'device': self.ledger.device,
            'num_devices': self.ledger.num_devices,
            'ledger': self.ledger.state_dict(),
        }

    def _state_to_resume(self, runner: Runner) -> dict[str, Any] | None:
        """The later one of the checkpoint's state and the file's, if they are of one run."""
        try:
            state = json.loads((Path(runner.work_dir) / STATE_FILE).read_text('utf-8'))
            state['ledger'], state['started_at'], state['run_key']
        except FileNotFoundError:
            return self._loaded_state
        except (OSError, ValueError, KeyError, TypeError) as error:
            runner.logger.warning(
                f'{STATE_FILE} cannot be read ({error}); the cost of iterations after the last '
                'checkpoint is lost.'
            )
            return self._loaded_state
        other = self._loaded_state
        # Without a checkpoint the run was killed before its first one, and begins again.
        return state if other is None or other['run_key'] == state['run_key'] else other


class _AfterOtherHooks(Hook):
    """Marks where the wait for the next batch begins: after logging and checkpoints."""

    priority = 'LOWEST'

    def __init__(self, ledger: CostLedger) -> None:
        self._ledger = ledger

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self._ledger.wait_for_data()


def _energy_of_run(device: torch.device) -> EnergyMeter | None:
    """The main process reads the counters of every GPU of the run, if all are in its machine.

    So the sum is whole at every moment at which that process writes it down.
    """
    if device.type != 'cuda':
        return None
    found = all_gather_object((platform.node(), device_uuid(device)))
    nodes, uuids = ({*values} for values in zip(*found, strict=True))
    if not is_main_process() or len(nodes) > 1 or None in uuids:
        return None
    return energy_meter(sorted(uuids))


def find_ledger_hook(runner: Runner) -> CostLedgerHook | None:
    """The ledger hook of a run, if it has one."""
    return next((hook for hook in runner.hooks if isinstance(hook, CostLedgerHook)), None)


def cost_on_disk(work_dir: Path) -> Cost | None:
    """What a run has cost by the state file that it left; None without one that can be read."""
    try:
        state = json.loads((work_dir / STATE_FILE).read_text('utf-8'))
        ledger = CostLedger(device=state['device'], num_devices=state['num_devices'])
        ledger.load_state_dict(state['ledger'])
        energy = state['ledger'].get('energy_joules')
        return Cost(**{**ledger.summary(), 'energy_joules': energy})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def flush_ledger(runner: Runner) -> None:
    """Write down what a run has cost so far, where it has a ledger."""
    hook = find_ledger_hook(runner)
    if hook is not None and hook.ledger is not None:
        hook.flush(runner)


@contextmanager
def outside_cost(runner: Runner) -> Iterator[None]:
    """What happens inside is watching, not training: the run's ledger leaves it out."""
    hook = find_ledger_hook(runner)
    ledger = hook.ledger if hook is not None else None
    if ledger is not None:
        ledger.pause()
    try:
        yield
    finally:
        if ledger is not None:
            ledger.resume()
