"""Precision of a training: the recipe's, or the one that the user asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import autocast
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.registry import OPTIM_WRAPPERS

PRECISIONS = ('recipe', 'fp32', 'fp16', 'bf16')
AMP_WRAPPER = 'AmpOptimWrapper'
BFLOAT16_WRAPPER = 'mim_bench.Bfloat16OptimWrapper'
_AMP_KEYS = ('loss_scale', 'dtype')


@OPTIM_WRAPPERS.register_module()
class Bfloat16OptimWrapper(OptimWrapper):
    """Optimiser wrapper for bfloat16 autocast; weights and optimiser stay in float32.

    Like mmengine's ``AmpOptimWrapper(dtype='bfloat16')`` without loss scaling, which
    bfloat16 does not need. Works on a CPU too.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast inside the plain wrapper's context."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


def set_precision(cfg: Config, precision: str) -> None:
    """Set the precision of a config's training.

    Args:
        cfg: Changed in place; a config without an optimiser is left unchanged.
        precision: One of ``PRECISIONS``. ``fp16`` keeps the recipe's loss scale, and uses a
            dynamic one where there is none.

    Raises:
        ConfigError: The precision is unknown, or the recipe's optimiser wrapper is not one of
            mmengine's plain ones.
    """
    if precision not in PRECISIONS:
        known = ', '.join(PRECISIONS)
        raise ConfigError(f'--precision {precision!r} is unknown. Known: {known}.')
    wrapper = cfg.get('optim_wrapper')
    # bf16 replaces mmengine's wrapper too, which needs a GPU.
    is_set = precision == precision_of(cfg) != 'bf16'
    if precision == 'recipe' or not wrapper or is_set:
        return
    if precision_of(cfg) == 'custom':
        raise ConfigError(
            f'{cfg.filename}: optim_wrapper.type is {wrapper["type"]!r}, whose precision '
            '--precision cannot change. Leave --precision out.'
        )
    scale = wrapper.get('loss_scale', 'dynamic')
    for key in _AMP_KEYS:
        wrapper.pop(key, None)
    if precision == 'fp32':
        wrapper['type'] = 'OptimWrapper'
    elif precision == 'bf16':
        wrapper['type'] = BFLOAT16_WRAPPER
    else:
        wrapper.update(type=AMP_WRAPPER, dtype='float16', loss_scale=scale)


def precision_of(cfg: Config) -> str:
    """The precision of a config: ``fp32``, ``fp16``, ``bf16``, or ``custom`` for other wrappers."""
    wrapper = cfg.get('optim_wrapper') or {}
    kind = wrapper.get('type', 'OptimWrapper')
    if kind == AMP_WRAPPER:
        return 'bf16' if wrapper.get('dtype') in ('bfloat16', torch.bfloat16) else 'fp16'
    return {'OptimWrapper': 'fp32', BFLOAT16_WRAPPER: 'bf16'}.get(kind, 'custom')


def disable_amp(cfg: Config) -> None:
    """Replace mixed precision by float32; other wrappers are left unchanged."""
    if precision_of(cfg) != 'custom':
        set_precision(cfg, 'fp32')
