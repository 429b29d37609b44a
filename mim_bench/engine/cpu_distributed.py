"""Distributed runs without a GPU, on gloo; mmengine's own set-up needs CUDA devices."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.dist import is_distributed
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from torch import distributed as torch_dist
from torch import nn

from mim_bench.errors import StackError


def is_cpu_run() -> bool:
    """Whether there is no GPU to compute on."""
    return not torch.cuda.is_available()


def init_gloo(launcher: str) -> None:
    """Join the process group of a launcher on backend gloo.

    Args:
        launcher: 'pytorch' (torchrun has set RANK and so on) or 'slurm'.

    Raises:
        StackError: Another launcher.
    """
    if is_distributed():
        return
    if launcher == 'slurm':
        _read_slurm()
    elif launcher != 'pytorch':
        raise StackError(
            f'Launcher {launcher!r} needs GPUs; on CPU use tools/dist_train.sh or slurm_train.sh.'
        )
    torch_dist.init_process_group(backend='gloo')


@contextmanager
def leaving_process_group(launcher: str) -> Iterator[None]:
    """Leave the process group that a run has joined, when it ends.

    A process that ends inside a group aborts (gloo), also when it has done its work, and takes
    the others with it.

    Args:
        launcher: Of the run; 'none' joins no group.
    """
    try:
        yield
        if launcher != 'none' and is_distributed():
            torch_dist.barrier()
    finally:
        # After an error NCCL may wait for the others for ever; there torchrun ends them all.
        if launcher != 'none' and is_distributed() and (is_cpu_run() or not sys.exc_info()[0]):
            torch_dist.destroy_process_group()


def wrap_for_gloo(model: nn.Module, find_unused_parameters: bool) -> nn.Module:
    """Wrap a model in data parallelism between processes on CPU.

    SyncBN is a CUDA layer, so it becomes BatchNorm over each process's own images.
    """
    return MMDistributedDataParallel(
        module=revert_sync_batchnorm(model),
        broadcast_buffers=False,
        find_unused_parameters=find_unused_parameters,
    )


def _read_slurm() -> None:
    command = ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']]
    if 'MASTER_ADDR' not in os.environ:
        hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        os.environ['MASTER_ADDR'] = hosts.split()[0]
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ['RANK'] = os.environ['SLURM_PROCID']
    os.environ['WORLD_SIZE'] = os.environ['SLURM_NTASKS']
    os.environ['LOCAL_RANK'] = os.environ.get('SLURM_LOCALID', '0')
