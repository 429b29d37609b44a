"""Every method of this package with its weights shared out over two processes by FSDP2."""

import copy
import os

import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from torch import distributed, multiprocessing, nn
from torch.distributed.fsdp import fully_shard

from mim_bench.engine.fsdp import backbone_blocks
from mim_bench.profiling.synthetic import SyntheticData
from mim_bench.testing.demo_runs import pretraining_configs, short_name
from mim_bench.testing.processes import PRELOADED, free_port

CONFIGS = [
    path for path in pretraining_configs() if Config.fromfile(path).model.type.startswith('mim')
]
BATCH = 4


def compare(rank, port, config, results):
    """Loss, gradients and an update of the momentum network, whole and sharded."""
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR='127.0.0.1', MASTER_PORT=str(port))
    distributed.init_process_group('gloo', rank=rank, world_size=2)
    cfg = Config.fromfile(config)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        batch = SyntheticData(cfg).batch(BATCH)
        torch.manual_seed(0)
        model = MODELS.build(cfg.model)
    model.init_weights()
    model = revert_sync_batchnorm(model)  # as runs on CPUs do
    whole = copy.deepcopy(model)
    momentum = getattr(model, 'momentum_network', nn.Identity())
    for block in [*backbone_blocks(model.backbone), *backbone_blocks(momentum)]:
        fully_shard(block)
    fully_shard(model)
    losses, gradients = [], []
    for network in (whole, model):
        data = network.data_preprocessor(batch, True)
        torch.manual_seed(0)
        loss, _ = network.parse_losses(network(**data, mode='loss'))
        loss.backward()
        losses.append(loss.detach())
        gradients.append(
            {n: full(p.grad) for n, p in network.named_parameters() if p.grad is not None}
        )
        if hasattr(network, 'momentum_network'):
            network.momentum_network.update_parameters(network, 0.0)
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-5)
    weights = [{n: full(p.detach()) for n, p in m.named_parameters()} for m in (whole, model)]
    torch.testing.assert_close(weights[1], weights[0])
    if rank == 0:
        results.put(len(gradients[0]))
    distributed.destroy_process_group()


def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, 'full_tensor') else tensor


@pytest.mark.parametrize('config', CONFIGS, ids=short_name)
def test_sharded_method_has_the_losses_and_gradients_of_the_whole(config):
    context = multiprocessing.get_context('forkserver')
    multiprocessing.set_forkserver_preload(PRELOADED)
    results = context.SimpleQueue()
    arguments = (free_port(), str(config), results)
    multiprocessing.start_processes(compare, arguments, nprocs=2, start_method='forkserver')
    assert results.get() > 10
