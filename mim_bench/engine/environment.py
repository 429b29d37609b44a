"""What a run ran on, for its record: versions, devices, the commit of this package."""

import platform
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import torch

import mim_bench
from mim_bench.errors import ConfigError

UNKNOWN = 'unknown'


def describe_environment(library: str | None) -> dict[str, str]:
    """Versions by name: git, python, torch, mmengine, mmcv, library and more.

    Args:
        library: Import name of the library that ran the config, for example ``mmseg``. It
            is not imported if it is not loaded yet.
    """
    loaded = library is not None and library in sys.modules
    return {
        'git': git_commit(),
        'mim_bench': mim_bench.__version__,
        'python': platform.python_version(),
        'platform': platform.platform(),
        'torch': _version('torch'),
        'torchvision': _version('torchvision'),
        'mmengine': _version('mmengine'),
        'mmcv': _version('mmcv'),
        'library': f'{library} {_version(library)}' if loaded else library or UNKNOWN,
    }


def device_name(device: torch.device) -> str:
    """The name of a device, for example ``cpu`` or ``NVIDIA H200``."""
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type


def usable_device(name: torch.device | str | None) -> torch.device:
    """A device of this machine by its name in torch; None: a GPU if there is one.

    Raises:
        ConfigError: torch knows no such device, or this machine has none.
    """
    gpus = torch.cuda.device_count()
    name = name or ('cuda' if gpus else 'cpu')
    try:
        device = torch.device(name)
        if device.type != 'cuda':  # a GPU's memory is not touched here
            torch.zeros(1, device=device).cpu()
        elif (device.index or 0) >= gpus:
            raise RuntimeError(f'torch sees {gpus} GPUs here')
    except (RuntimeError, TypeError, AssertionError) as error:
        reason = str(error).splitlines()[0].rstrip('.')
        raise ConfigError(
            f"device {str(name)!r}: {reason}. Give another, such as 'cpu'."
        ) from error
    return device


def git_commit() -> str:
    """The commit that this package was checked out from, ``-dirty`` if files changed since."""
    root = Path(mim_bench.__file__).parents[1]
    # Otherwise git would find a repository that an installed package happens to be in.
    if not (root / '.git').exists():
        return UNKNOWN
    command = ['git', '-C', str(root), 'describe', '--always', '--dirty', '--abbrev=40']
    try:
        done = subprocess.run(
            [*command, '--exclude=*'], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return UNKNOWN
    return done.stdout.strip() or UNKNOWN


def _version(module: str) -> str:
    return str(getattr(import_module(module), '__version__', UNKNOWN))
