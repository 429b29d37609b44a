"""What a plain mmengine run cost, as far as its work directory says; the rest stays unknown."""

import json
import statistics
from itertools import pairwise
from typing import Any

from mim_bench.engine.hooks.cost_ledger_hook import STATE_FILE
from mim_bench.engine.work_dir import WorkDir
from mim_bench.results.record import Cost

UNKNOWN = 'unknown'


def cost_of(run: WorkDir) -> Cost:
    """The cost of a run.

    - With ``cost_ledger.json``, that of the ledger.
    - Otherwise the wall time is the sum over iterations of the ``time`` that was logged for
      them, which leaves out validation and the building of the model, and counts iterations
      that a restart repeated once. A log line stands for the iterations since the one before.
    - Devices are those that the log names at its start. Memory is not taken from the log,
      where it includes the weights, and energy is nowhere.
    """
    device, is_gpu, num_devices = _devices(run)
    batch = (run.cfg.get('train_dataloader') or {}).get('batch_size')
    wall_s = _wall_s(run)
    known: dict[str, Any] = {'wall_s': wall_s, 'data_wait_share': _wait_share(run)}
    if batch and num_devices:
        known['img_per_s'] = _rate(run, batch * num_devices)
    ledger = _ledger(run)
    if ledger:
        known = ledger
    elif wall_s is not None and num_devices:
        known['device_hours'] = wall_s * num_devices / 3600
        if is_gpu is not None:
            known['gpu_hours'] = known['device_hours'] if is_gpu else 0.0
    hours = {'gpu_hours': None, 'device_hours': None}
    return Cost(**{**hours, **known, 'device': device, 'num_devices': num_devices})


def _devices(run: WorkDir) -> tuple[str, bool | None, int | None]:
    facts = run.facts
    num_devices = int(facts['num_devices']) if int(facts.get('num_devices', 0)) else None
    has_gpu = {'True': True, 'False': False}.get(facts.get('has_gpu', ''))
    name = facts.get('gpu', UNKNOWN) if has_gpu else 'cpu' if has_gpu is False else UNKNOWN
    return name, has_gpu, num_devices


def _ledger(run: WorkDir) -> dict[str, Any]:
    """What this package's hook counted in a run without a record; empty without the hook."""
    try:
        state = json.loads((run.path / STATE_FILE).read_text('utf-8'))['ledger']
        rates, total = state['rates']['values'], state['iteration_s']
        return {
            'wall_s': state['wall_s'],
            'device_hours': state['device_s'] / 3600,
            'gpu_hours': state['gpu_s'] / 3600,
            'img_per_s': statistics.median(rates) if rates else None,
            'data_wait_share': state['wait_s'] / total if total else None,
            'peak_mem_bytes': state['peak_mem_bytes'],
            'energy_joules': state.get('energy_joules'),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _times(run: WorkDir, key: str = 'time') -> dict[float, float]:
    """A logged time by step, in seconds an iteration."""
    entries = run.iterations.items()
    return {step: e[key] for step, e in entries if isinstance(e.get(key), int | float)}


def _wall_s(run: WorkDir) -> float | None:
    times = _times(run)
    if not times:
        return None
    steps = pairwise([0, *times])
    return sum((b - a) * time for (a, b), time in zip(steps, times.values(), strict=True))


def _rate(run: WorkDir, samples: int) -> float | None:
    times = [time for time in _times(run).values() if time > 0]
    return samples / statistics.median(times) if times else None


def _wait_share(run: WorkDir) -> float | None:
    times, waits = _times(run), _times(run, 'data_time')
    total = sum(times[step] for step in waits if step in times)
    share = sum(waits[step] for step in waits if step in times) / total if total > 0 else None
    return None if share is None else min(max(share, 0.0), 1.0)
