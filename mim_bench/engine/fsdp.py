"""Weights, gradients and optimiser shared out over the GPUs (FSDP), with ordinary checkpoints.

The model is built, initialised and loaded whole; then mmengine's wrapper shards it. Checkpoints
are gathered on the main process and look as those of any other run.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from torch import nn
from torch.distributed.fsdp import (
    FullOptimStateDictConfig,
    FullStateDictConfig,
    FullyShardedDataParallel,
    StateDictType,
)
from torch.distributed.fsdp.wrap import lambda_auto_wrap_policy

from mim_bench.errors import ConfigError
from mim_bench.recipe.precision import AMP_WRAPPER

WRAPPER = 'MMFullyShardedDataParallel'
# They read or average weights outside the forward pass, where a process has a part of them only.
_WHOLE_MODEL_HOOKS = ('MomentumHook', 'EMAHook', 'KnnHook', 'ReconstructionHook')


def shard(cfg: Config, launcher: str) -> None:
    """Let a config's training shard its model.

    Args:
        cfg: Changed in place.
        launcher: Of the run.

    Raises:
        ConfigError: There is one process only, or a hook needs the whole model.
    """
    if launcher == 'none':
        raise ConfigError('--fsdp shares a model out over processes. Start tools/dist_train.sh.')
    names = [str(hook.get('type', '')) for hook in cfg.get('custom_hooks') or []]
    if needy := [name for name in names if name.endswith(_WHOLE_MODEL_HOOKS)]:
        raise ConfigError(
            f'{cfg.filename}: {", ".join(needy)} needs the whole model on each GPU, which --fsdp '
            'shards. Leave --fsdp out, or take the hook out of custom_hooks.'
        )
    cfg.model_wrapper_cfg = dict(type=WRAPPER)
    if cfg.optim_wrapper.get('type') == AMP_WRAPPER:
        cfg.optim_wrapper.use_fsdp = True  # overflows are looked for on all GPUs


def is_sharding(model_wrapper_cfg: Mapping[str, Any] | None) -> bool:
    """Whether a config's ``model_wrapper_cfg`` asks for FSDP."""
    return (model_wrapper_cfg or {}).get('type') == WRAPPER


def shard_training(
    model: nn.Module, optim_wrapper: OptimWrapper, model_wrapper_cfg: Mapping[str, Any]
) -> nn.Module:
    """Shard a model that is on its GPU, and its optimiser with what it has learnt.

    The optimiser's groups stay: which parameter has which rate is decided by the whole model,
    since a shard is flat.

    Args:
        model: Filled, the same on all processes.
        optim_wrapper: Of its parameters; goes on with the shards.
        model_wrapper_cfg: Further arguments of mmengine's wrapper.

    Returns:
        The wrapper.
    """
    optimizer = optim_wrapper.optimizer
    name_of = {parameter: name for name, parameter in model.named_parameters()}
    groups = [[name_of[p] for p in group['params']] for group in optimizer.param_groups]
    learnt = _state_by_name(optimizer.state_dict(), groups)
    wrapped = MODEL_WRAPPERS.build(
        {
            'use_orig_params': True,
            'auto_wrap_policy': block_policy(model),
            # Without it torch looks for a GPU, and refuses where there is none.
            'device_id': next(model.parameters()).device,
            **model_wrapper_cfg,
            'module': model,
        }
    )
    shards = dict(_named_parameters(wrapped))
    for group, names in zip(optimizer.param_groups, groups, strict=True):
        group['params'] = [shards[name] for name in names]
    optimizer.state.clear()
    if learnt['state']:
        with full_state(wrapped, rank0_only=False):
            mine = FullyShardedDataParallel.optim_state_dict_to_load(wrapped, optimizer, learnt)
        optimizer.load_state_dict(mine)
    if optim_wrapper.clip_grad_kwargs and optim_wrapper.grad_name == 'grad_norm':
        optim_wrapper.clip_func = partial(_clip_whole_norm, wrapped)
    return wrapped


def gather_training(
    model: FullyShardedDataParallel, optim_wrapper: OptimWrapper
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The state of the whole model and of its optimiser, in the form of an unsharded run.

    All processes must call it; only the main one gets tensors.
    """
    optimizer = optim_wrapper.optimizer
    name_of = {parameter: name for name, parameter in _named_parameters(model)}
    groups = [[name_of[p] for p in group['params']] for group in optimizer.param_groups]
    with full_state(model, rank0_only=True):
        state = model.state_dict()
        learnt = FullyShardedDataParallel.optim_state_dict(model, optimizer)
    return state, _state_by_number(learnt.get('state', {}), optimizer.param_groups, groups)


def block_policy(model: nn.Module) -> partial:
    """Shard each block of the backbone on its own; everything else makes one shard.

    Blocks are called as modules. Heads of detectors are not: their ``loss`` would meet
    weights that are not gathered.
    """
    blocks = set(backbone_blocks(model.backbone))
    return partial(lambda_auto_wrap_policy, lambda_fn=lambda module: module in blocks)


def backbone_blocks(backbone: nn.Module) -> list[nn.Module]:
    """The members of a network's lists of modules that hold no further list."""
    lists = [m for m in backbone.modules() if isinstance(m, nn.ModuleList)]
    return [
        block
        for blocks in lists
        for block in blocks
        if not any(isinstance(m, nn.ModuleList) for m in block.modules())
        and next(block.parameters(), None) is not None
    ]


def full_state(
    model: FullyShardedDataParallel, *, rank0_only: bool
) -> AbstractContextManager[None]:
    """States that are taken or given inside are those of the whole model, on the CPU."""
    # From CPU to CPU torch 2.11 ends in a segmentation fault.
    is_on_gpu = next(model.parameters()).device.type != 'cpu'
    settings = dict(offload_to_cpu=is_on_gpu, rank0_only=rank0_only)
    return FullyShardedDataParallel.state_dict_type(
        model,
        StateDictType.FULL_STATE_DICT,
        FullStateDictConfig(**settings),
        FullOptimStateDictConfig(**settings),
    )


class GatheredModel:
    """Stands in for a sharded model while mmengine writes a checkpoint."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        self._state = state

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The gathered state."""
        return self._state


@contextmanager
def gathered(runner: Any) -> Iterator[None]:
    """A runner's model and optimiser give the state of the whole inside, on all processes."""
    model, optimizer = runner.model, runner.optim_wrapper.optimizer
    state, learnt = gather_training(model, runner.optim_wrapper)
    runner.model, optimizer.state_dict = GatheredModel(state), lambda: learnt
    try:
        yield
    finally:
        runner.model = model
        del optimizer.state_dict


def _named_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    for name, parameter in model.named_parameters():
        yield name.replace('_fsdp_wrapped_module.', ''), parameter


def _state_by_name(state: dict[str, Any], groups: list[list[str]]) -> dict[str, Any]:
    """An optimiser's state by the names of parameters in the place of their numbers."""
    names = [name for group in groups for name in group]
    settings = zip(state['param_groups'], groups, strict=True)
    return {
        'state': {names[number]: value for number, value in state['state'].items()},
        'param_groups': [{**group, 'params': members} for group, members in settings],
    }


def _state_by_number(
    by_name: Mapping[str, Any], param_groups: list[dict], groups: list[list[str]]
) -> dict[str, Any]:
    """The other way round, as ``torch.optim.Optimizer.state_dict`` numbers parameters."""
    numbers: dict[str, int] = {}
    for name in (name for group in groups for name in group):
        numbers[name] = len(numbers)
    return {
        'state': {numbers[name]: value for name, value in by_name.items()},
        'param_groups': [
            {**group, 'params': [numbers[name] for name in names]}
            for group, names in zip(param_groups, groups, strict=True)
        ],
    }


def _clip_whole_norm(
    model: FullyShardedDataParallel,
    params: list[nn.Parameter],
    max_norm: float,
    norm_type: float = 2.0,
    **_: Any,
) -> torch.Tensor:
    """In the place of torch's function, which would see the norm of one process's shards."""
    return model.clip_grad_norm_(max_norm, norm_type)
