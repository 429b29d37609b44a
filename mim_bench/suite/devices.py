"""GPUs and number of parallel processes of a suite; needs no torch."""

import os
import subprocess

from mim_bench.engine.cores import usable_cores
from mim_bench.errors import ConfigError


def visible_gpus() -> list[str]:
    """Visible GPUs of this machine, as identifiers for ``CUDA_VISIBLE_DEVICES``."""
    chosen = os.environ.get('CUDA_VISIBLE_DEVICES')
    if chosen is not None:
        return [name.strip() for name in chosen.split(',') if name.strip() not in ('', '-1')]
    try:
        done = subprocess.run(['nvidia-smi', '-L'], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    gpus = [line for line in done.stdout.splitlines() if line.startswith('GPU ')]
    return [str(index) for index in range(len(gpus))] if done.returncode == 0 else []


def choose_gpus(wanted: int | None, visible: list[str]) -> list[str]:
    """Choose as many GPUs as asked for, by default all that are visible.

    Raises:
        ConfigError: Fewer than one was asked for, or more than there are.
    """
    if wanted is None:
        return visible
    if wanted < 1:
        raise ConfigError(f'--gpus {wanted}: must be 1 or more.')
    if visible and wanted > len(visible):
        raise ConfigError(
            f'--gpus {wanted}: only {len(visible)} are visible ({", ".join(visible)}). Give fewer, '
            'or change CUDA_VISIBLE_DEVICES.'
        )
    return visible[:wanted]


def count_workers(wanted: int | None) -> int:
    """Number of parallel subprocesses: as asked for, else one per core, at most four.

    Raises:
        ConfigError: Fewer than one was asked for.
    """
    if wanted is None:
        return min(usable_cores(), 4)
    if wanted < 1:
        raise ConfigError(f'--workers {wanted}: must be 1 or more.')
    return wanted
