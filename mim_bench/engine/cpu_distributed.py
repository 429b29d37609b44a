"""Distributed runs without a GPU, on gloo; mmengine's own set-up needs CUDA devices."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from mmengine.dist import is_distributed
from mmengine.model import MMDistributedDataParallel, revert_sync_batchnorm
from torch import distributed as torch_dist
from torch import nn

from mim_bench.errors import ConfigError, StackError

# NCCL's own 10 minutes are less than a process waits while the main one evaluates COCO.
DIST_TIMEOUT_S = 1800


def is_cpu_run() -> bool:
    """Whether there is no GPU to compute on."""
    return not torch.cuda.is_available()


def init_gloo(launcher: str, timeout_s: float) -> None:
    """Join the process group of a launcher on backend gloo.

    Args:
        launcher: 'pytorch' (torchrun has set RANK and so on) or 'slurm' (:func:`read_slurm` has).
        timeout_s: After which a process that waits for the others fails.

    Raises:
        StackError: Another launcher.
    """
    if is_distributed():
        return
    if launcher not in ('pytorch', 'slurm'):
        raise StackError(
            f'Launcher {launcher!r} needs GPUs; on CPU use tools/dist_train.sh or slurm_train.sh.'
        )
    torch_dist.init_process_group(backend='gloo', timeout=timedelta(seconds=timeout_s))


@contextmanager
def leaving_process_group(launcher: str) -> Iterator[None]:
    """Leave the process group that a run has joined, when it ends.

    A process that ends inside a group aborts (gloo), also when it has done its work, and takes
    the others with it.

    Args:
        launcher: Launcher of the run; 'none' joins no group.
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


def read_slurm() -> None:
    """Set what torch asks for from what Slurm says of this step; what is set already stays.

    The address is that of the first node of the step, which may have fewer nodes than its job. The
    port follows from job and step, so that two of them may share a node.

    Raises:
        ConfigError: Slurm did not start this process.
    """
    environment = os.environ
    if 'SLURM_PROCID' not in environment:
        raise ConfigError(
            '--launcher slurm: srun did not start this process (there is no SLURM_PROCID). Start '
            'it by srun, or leave --launcher out.'
        )
    if 'MASTER_ADDR' not in environment:
        nodes = environment.get('SLURM_STEP_NODELIST') or environment['SLURM_NODELIST']
        command = ['scontrol', 'show', 'hostnames', nodes]
        hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        environment['MASTER_ADDR'] = hosts.split()[0]
    job, step = (int(environment.get(f'SLURM_{name}_ID') or 0) for name in ('JOB', 'STEP'))
    environment.setdefault('MASTER_PORT', str(20000 + (job + 7919 * step) % 20000))
    environment['RANK'] = environment['SLURM_PROCID']
    environment['WORLD_SIZE'] = environment['SLURM_NTASKS']
    environment['LOCAL_RANK'] = environment.get('SLURM_LOCALID', '0')
