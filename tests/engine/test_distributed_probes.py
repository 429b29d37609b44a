"""Two processes on gloo: what they gather, agree on and refuse together."""

import json
import sys
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import distributed as dist

from mim_bench.engine.hooks.finite_loss_hook import FiniteLossHook
from mim_bench.engine.probes.dispatch import run_probe
from mim_bench.engine.probes.features import extract_features
from mim_bench.errors import TrainingError
from mim_bench.testing.toy_runs import ToyImages, ToyNet, loader

# Odd sizes: the sampler pads the last round, and the padding must not be counted.
BANK = dict(length=31)
QUERY = dict(length=9, offset=1)


class FakeLoop:
    iter = epoch = 0


class FakeRunner:
    iter = epoch = 0
    train_loop = FakeLoop()
    logger = type('Log', (), {'error': staticmethod(lambda text: None)})


def measure() -> dict:
    torch.manual_seed(0)
    model = ToyNet()
    bank, query = (
        extract_features(model, Runner.build_dataloader(loader(**data)), pooling='gap')
        for data in (BANK, QUERY)
    )
    settings = {'knn': {'k': 5}, 'linear': {'epochs': 3}}
    return {
        'x': query.x.tolist(),
        'y': bank.y.tolist(),
        **{n: run_probe(n, bank, query, device='cpu', settings=s) for n, s in settings.items()},
    }


def stop_together(rank: int) -> str:
    """Only the second process has a bad loss."""
    loss = torch.tensor(float('inf') if rank == 1 else 1.0)
    batch = {'data_samples': [ToyImages()[4]['data_samples']]}
    try:
        FiniteLossHook().after_train_iter(FakeRunner(), 0, batch, {'loss': loss})
    except TrainingError as error:
        return str(error)
    return 'went on'


def work(rank: int, folder: str) -> None:
    DATASETS.register_module(module=ToyImages, force=True)
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
    result = {**measure(), 'stop': stop_together(rank)}
    with open(f'{folder}/{rank}.json', 'w') as file:
        json.dump(result, file)
    dist.destroy_process_group()


@pytest.fixture(scope='module')
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ranks')
    # The children import this file by its name.
    path = str(Path(__file__).parent)
    if path not in sys.path:
        sys.path.insert(0, path)
    mp.spawn(work, (str(folder),), nprocs=2)
    return [json.loads((folder / f'{rank}.json').read_text()) for rank in range(2)]


def test_extract_features_two_processes_have_all_in_order_once(results):
    alone = measure()
    for rank in range(2):
        assert results[rank]['y'] == alone['y']
        torch.testing.assert_close(torch.tensor(results[rank]['x']), torch.tensor(alone['x']))


def test_run_probe_two_processes_agree_with_one(results):
    alone = measure()
    for probe in ('knn', 'linear'):
        assert results[0][probe] == results[1][probe] == pytest.approx(alone[probe])


def test_finite_loss_hook_all_processes_stop_and_name_the_bad_one(results):
    assert 'on process 1 loss = inf, on the images images/4.jpg' in results[0]['stop']
    assert results[0]['stop'] == results[1]['stop']
