"""Errors of GPUs and of the connection between processes, as one message with what to do."""

import errno
import platform
import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size
from torch import distributed as torch_dist
from torch import nn

from mim_bench.engine.cpu_distributed import DIST_TIMEOUT_S
from mim_bench.errors import DeviceError, OutOfMemoryError
from mim_bench.recipe.tta import unwrap

_GIB = 2**30
_CUDA = re.compile(r'CUDA (?:error|driver error)|cuDNN error|CUBLAS_STATUS|CUDNN_STATUS|cusolver')
_NETWORK = re.compile(
    r'NCCL|ncclInternalError|Connection (?:closed|reset|refused)|Broken pipe|gloo|'
    r'[Tt]imed out waiting|Watchdog caught collective operation timeout|TCPStore|rendezvous'
)
_DISTRIBUTED = (
    torch_dist.DistBackendError,
    torch_dist.DistNetworkError,
    torch_dist.DistStoreError,
)
# Copies of the trained weights that an optimiser keeps, by a part of its name.
_STATES = {'adam': 2, 'lamb': 2, 'lars': 1, 'sgd': 1}
# What of a CUDA error a user can do something about.
_ADVICE = {
    'device-side assert': 'An index left its range, often a label: `mim-bench data check` finds it',
    'ECC': 'The GPU has a memory fault: have it reset or replaced',
    'unspecified launch failure': 'Run again with CUDA_LAUNCH_BLOCKING=1 to see which operation',
    'illegal memory access': 'Run again with CUDA_LAUNCH_BLOCKING=1 to see which operation',
    'no kernel image': 'This torch was not built for this GPU: `mim-bench doctor`',
    'busy or unavailable': 'Another process holds the GPU: look with nvidia-smi',
    'invalid device ordinal': 'Fewer GPUs are visible than processes were started',
}


def explain_device_error(
    error: BaseException, cfg: Config, *, model: nn.Module | None, iteration: int | None
) -> DeviceError | None:
    """One message for an error of a GPU, of memory or of the connection between processes.

    Args:
        error: What was raised.
        cfg: The config of the run.
        model: Its model, if it has been built.
        iteration: How many were done; None before the training.

    Returns:
        None for other errors.
    """
    place = _place(iteration)
    if isinstance(error, torch.OutOfMemoryError):
        return OutOfMemoryError(_memory_message(str(error), cfg, model, place))
    if isinstance(error, MemoryError) or getattr(error, 'errno', None) == errno.ENOMEM:
        return OutOfMemoryError(
            f'{place}: the machine has not enough memory. Use fewer workers '
            '(train_dataloader.num_workers), or ask for more memory.'
        )
    first = next(iter(str(error).splitlines()), type(error).__name__)
    if isinstance(error, RuntimeError) and _CUDA.search(str(error)):
        known = [advice for text, advice in _ADVICE.items() if text in str(error)]
        advice = known[0] if known else 'Look at the GPU with nvidia-smi and at the kernel log'
        return DeviceError(f'{place}: {first}. {advice}; {_again(cfg)}.')
    is_network = isinstance(error, _DISTRIBUTED) or (
        isinstance(error, RuntimeError) and get_world_size() > 1 and _NETWORK.search(str(error))
    )
    if is_network:
        dist = (cfg.get('env_cfg') or {}).get('dist_cfg') or {}
        minutes = dist.get('timeout', DIST_TIMEOUT_S) / 60
        return DeviceError(
            f'{place}: the connection to the other processes failed ({first}). Most often another '
            'process or node failed first: its message names the cause. If none did, one of them '
            f'hung for {minutes:g} minutes (--dist-timeout; nccl-trace-* in the work directory '
            f'says in which operation), or the network did; {_again(cfg)}.'
        )
    return None


def _again(cfg: Config) -> str:
    return 'start again' + (' with --auto-resume' if cfg.get('train_dataloader') else '')


def _place(iteration: int | None) -> str:
    """Which process of which node, on which device, and when."""
    device = ''
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        number = torch.cuda.current_device()
        device = f', GPU {number} ({torch.cuda.get_device_name(number)})'
    when = '' if iteration is None else f', iteration {iteration + 1}'
    return f'process {get_rank()} on {platform.node()}{device}{when}'


def _memory_message(text: str, cfg: Config, model: nn.Module | None, place: str) -> str:
    wanted = re.search(r'Tried to allocate ([\d.]+ \w+)', text)
    asked = f' for {wanted[1]} more' if wanted else ''
    fixed = _fixed_bytes(model, cfg) if model is not None else None
    parts = [f'{place}: CUDA has no memory{asked}.']
    if fixed is not None and torch.cuda.is_available():
        number = torch.cuda.current_device()
        total = torch.cuda.get_device_properties(number).total_memory
        peak = torch.cuda.max_memory_reserved(number)
        parts.append(
            f'Weights, gradients and optimiser take about {fixed / _GIB:.1f} GiB; the run had '
            f'{peak / _GIB:.1f} of {total / _GIB:.1f} GiB, the rest of which grows with the batch.'
        )
    return ' '.join([*parts, _smaller_batch(cfg)])


def _smaller_batch(cfg: Config) -> str:
    loader = cfg.get('train_dataloader') or cfg.get('test_dataloader') or {}
    images = loader.get('batch_size')
    if not cfg.get('train_dataloader'):
        key = 'test_dataloader.batch_size'
        return f'Use a smaller batch: --cfg-options {key}={max((images or 2) // 2, 1)}.'
    if not images or images == 1:
        return (
            'The batch is one image already: use --precision bf16, activation checkpointing '
            '(model.backbone.with_cp=True where the backbone has it), --fsdp on several GPUs, or a '
            'larger GPU.'
        )
    half = images // 2
    keeps = ''
    if effective := cfg.get('effective_batch_size'):
        world = get_world_size()
        passes = -(-effective // (half * world))
        keeps = (
            f' (an update keeps its {effective} images: {half} x {world} processes x {passes} '
            'accumulated; the protocol stays the same)'
        )
    return (
        f'The batch is {images} images a process. Start again with --auto-resume and --cfg-options '
        f'train_dataloader.batch_size={half}{keeps}; `mim-bench train --dry-run FILE` with it '
        'measures or estimates the memory first. --precision bf16 and --fsdp need less, too.'
    )


def _fixed_bytes(model: nn.Module, cfg: Config) -> int:
    """Bytes that do not grow with the batch: weights, gradients, state of the optimiser."""
    model = unwrap(model)
    gradients = num_bytes(p for p in model.parameters() if p.requires_grad)
    return (
        num_bytes(model.parameters()) + gradients + optimizer_bytes(model, cfg.get('optim_wrapper'))
    )


def num_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Size of tensors together."""
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def optimizer_bytes(model: nn.Module, optim_wrapper: Mapping[str, Any] | None) -> int:
    """About the size of an optimiser's state, by its config; 0 where it is not known."""
    name = str(((optim_wrapper or {}).get('optimizer') or {}).get('type', '')).lower()
    copies = next((copies for part, copies in _STATES.items() if part in name), 0)
    return copies * num_bytes(p for p in model.parameters() if p.requires_grad)
