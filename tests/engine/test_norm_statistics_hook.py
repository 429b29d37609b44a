from types import SimpleNamespace

import torch
from mmengine.dist import get_rank
from torch import distributed, nn

from mim_bench.engine.hooks.norm_statistics_hook import NormStatisticsHook
from mim_bench.testing.processes import start_together


def work(rank, place):
    distributed.init_process_group('gloo', f'file://{place}', rank=rank, world_size=2)
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    nn.init.constant_(net[0].weight, rank)
    net[1](torch.full((4, 3), 10.0 * (get_rank() + 1)))  # the mean moves by a tenth of the way
    NormStatisticsHook().before_val(SimpleNamespace(distributed=True, model=net))
    assert net[1].running_mean.tolist() == [1.0] * 3
    assert net[1].num_batches_tracked == 1
    assert net[0].weight.flatten().tolist() == [rank] * 6  # no statistics
    distributed.destroy_process_group()


def test_statistics_of_every_process_become_those_of_the_main_one(tmp_path):
    start_together(work, (str(tmp_path / 'place'),))
