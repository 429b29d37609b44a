"""How a run's loaders feed its device: workers, pinned memory, copies that do not wait.

The one place for every config. A config says ``num_workers='auto'``, or a number that is kept.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import nn

from mim_bench.engine.cores import usable_cores

AUTO = 'auto'
# Processes of this node, as torchrun and Slurm say.
_LOCAL_SIZES = ('LOCAL_WORLD_SIZE', 'SLURM_NTASKS_PER_NODE')


def loader_settings(loader: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a loader; those that are missing get values that suit this process."""
    settings = dict(loader)
    if settings.get('num_workers') == AUTO:
        settings['num_workers'] = workers_of_process()
    if settings.get('num_workers'):
        settings.setdefault('persistent_workers', True)
    else:  # torch refuses them without workers
        settings.pop('persistent_workers', None)
        settings.pop('prefetch_factor', None)
    if torch.cuda.is_available():
        settings.setdefault('pin_memory', True)
    return settings


def copy_without_waiting(model: nn.Module) -> None:
    """Let the data preprocessors of a model copy from pinned memory while the GPU computes."""
    for module in model.modules():
        if isinstance(module, BaseDataPreprocessor) and torch.cuda.is_available():
            module._non_blocking = True


def workers_of_process() -> int:
    """Workers for each loader of this process: its share of the cores, less its own; at least 1."""
    return max(1, usable_cores() // _processes_of_node() - 1)


def _processes_of_node() -> int:
    found = (os.environ.get(name, '') for name in _LOCAL_SIZES)
    return next((int(text) for text in found if text.isdecimal() and int(text)), 1)
