"""Weights, gradients and optimiser shared out over the processes (FSDP2), in ordinary checkpoints.

A model is built, initialised and filled whole on the CPU; then one block after the other moves to
the device, where only this process's part of it stays. No parameter is stored or gathered in half
precision: autocast casts operation by operation, as in a run that is not sharded, and validation
in float32 stays exact. Gradients are averaged in every forward pass, also of those that
accumulate, so that no process ever holds a whole one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_world_size, is_main_process
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from mim_bench.errors import ConfigError

KEY = 'fsdp'  # of a config
# timm, mmpretrain and this package call the attention of a block so.
_ATTENTION = 'attn'


def check_sharding(cfg: Config, launcher: str) -> None:
    """Refuse what cannot be trained sharded.

    Args:
        cfg: Config of a training.
        launcher: Launcher of the run.

    Raises:
        ConfigError: There is one process only, or something in the config needs the whole model.
    """
    if launcher == 'none':
        raise ConfigError(
            '--fsdp shards the model over several processes, and this run is one. Start it by '
            'tools/dist_train.sh.'
        )
    hooks = [str(hook.get('type', '')) for hook in cfg.get('custom_hooks') or []]
    found = [name for name in hooks if name.endswith('EMAHook')]  # averages a copy of the model
    found += [key for key in ('model_wrapper_cfg', 'sync_bn') if cfg.get(key)]
    if found:
        raise ConfigError(
            f'{cfg.filename}: {", ".join(found)} needs the whole model in each process, which '
            '--fsdp shards. Leave --fsdp out, or take it out of the config.'
        )
    sampler = (cfg.get('val_dataloader') or {}).get('sampler') or {}
    if sampler.get('round_up') is False:
        raise ConfigError(
            f'{cfg.filename}: val_dataloader.sampler.round_up=False gives processes different '
            'numbers of batches, and with --fsdp they compute each batch together. Leave it out.'
        )


def check_model(model: nn.Module) -> None:
    """Refuse a model that cannot be shared out.

    Raises:
        ConfigError: A parameter is a scalar, which ``fully_shard`` does not take.
    """
    if scalars := [name for name, p in model.named_parameters() if p.ndim == 0]:
        raise ConfigError(
            f'{type(model).__name__}: --fsdp cannot shard scalar parameters '
            f'({", ".join(scalars)}). Leave it out.'
        )


def is_sharded(model: nn.Module) -> bool:
    """Whether a model's weights are shared out over the processes."""
    return isinstance(model, FSDPModule)


def attention_blocks(model: nn.Module) -> list[nn.Module]:
    """The transformer blocks of a model: backbone, decoder and momentum network."""
    return [m for m in model.modules() if isinstance(getattr(m, _ATTENTION, None), nn.Module)]


def shard_training(model: nn.Module, optimizer: Optimizer) -> None:
    """Shard a model and its optimiser's state over the processes, in place.

    Each transformer block is a unit that is gathered while it computes; everything else is one
    more. A network without attention is one unit.

    Args:
        model: The model with its weights, on the CPU, equal in all processes.
        optimizer: Optimiser of its parameters. Its groups are kept, so each parameter has the rate
            that it has in the whole model.
    """
    device = torch.device(get_device())
    mesh = init_device_mesh(device.type, (get_world_size(),))
    learnt = optimizer.state_dict()
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    for block in attention_blocks(model):
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to(device)  # the parameters are there; mmengine's preprocessor learns its device so
    if hasattr(model, 'extract_feat'):
        register_fsdp_forward_method(model, 'extract_feat')
    shard_of = dict(model.named_parameters())
    for group in optimizer.param_groups:
        group['params'] = [shard_of[name_of[whole]] for whole in group['params']]
    _load_parts(optimizer, learnt)


def _load_parts(optimizer: Optimizer, learnt: dict[str, Any]) -> None:
    """Give an optimiser of shards its parts of the state of the whole."""
    shards = [shard for group in optimizer.param_groups for shard in group['params']]
    optimizer.state.clear()
    state = {
        number: {key: _part(value, shards[number]) for key, value in values.items()}
        for number, values in learnt['state'].items()
    }
    optimizer.load_state_dict({**learnt, 'state': state})


def _part(value: Any, shard: DTensor) -> Any:
    """This process's part of what belongs to a parameter value by value."""
    if not isinstance(value, torch.Tensor) or value.shape != shard.shape:
        return value  # a count of steps
    return distribute_tensor(value, shard.device_mesh, shard.placements, src_data_rank=None)


@contextmanager
def callable_in_parts(model: nn.Module) -> Iterator[None]:
    """Let parts of a sharded model be called without the whole inside, by all processes alike."""
    if is_sharded(model):
        model.unshard()  # what belongs to no block; blocks gather themselves
    try:
        yield
    finally:
        if is_sharded(model):
            model.reshard()


class _WholeModel:
    """Stands in for a sharded model while mmengine writes a checkpoint."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self._state = state

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The gathered state."""
        return self._state


@contextmanager
def gathered(runner: Any) -> Iterator[None]:
    """A runner's model and optimiser give the state of the whole inside, as an unsharded run's.

    Gathered tensor by tensor in the layout of :meth:`torch.optim.Optimizer.state_dict`, which
    ``torch.distributed.checkpoint`` replaces by one of its own. All processes must enter; only
    the main one gets tensors, on the CPU.
    """
    model, optimizer = runner.model, runner.optim_wrapper.optimizer
    state, learnt = model.state_dict(), optimizer.state_dict()
    for name, value in state.items():
        state[name] = _whole(value)
    learnt['state'] = {
        number: {key: _whole(value) for key, value in values.items()}
        for number, values in learnt['state'].items()
    }
    runner.model, optimizer.state_dict = _WholeModel(state), lambda: learnt
    try:
        yield
    finally:
        runner.model = model
        del optimizer.state_dict


def _whole(value: Any) -> Any:
    if not isinstance(value, DTensor):
        return value
    whole = value.full_tensor()
    return whole.cpu() if is_main_process() else None
