"""Two processes on gloo: what they gather, agree on and refuse together."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from test_patches import Scenes, scenes
from torch import distributed as dist
from torch.utils.data import DataLoader

from mim_bench.engine.hooks.finite_loss_hook import FiniteLossHook
from mim_bench.errors import MimBenchError, TrainingError
from mim_bench.evaluation.metrics.accuracy import Accuracy
from mim_bench.evaluation.probes.dispatch import run_probe
from mim_bench.evaluation.probes.extraction import extract_features
from mim_bench.evaluation.probes.feature_cache import cached_features
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.npy_rows import RowWriter
from mim_bench.evaluation.probes.patches import extract_patches
from mim_bench.evaluation.probes.together import shared_temporary_folder
from mim_bench.testing.processes import start_together
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


def measure(folder: Path) -> dict:
    torch.manual_seed(0)
    model = ToyNet()
    bank, query = (
        cached_features(folder, data, lambda new, data=data: extract(model, new, **data))
        for data in (BANK, QUERY)
    )
    settings = {'knn': {'k': 5}, 'linear': {'epochs': 3}}
    results = {n: run_probe(n, bank, query, device='cpu', settings=s) for n, s in settings.items()}
    return {
        'x': query.x[:].tolist(),
        'y': bank.y.tolist(),
        'hits': [result.hits['top1'].tolist() for result in results.values()],
        **{name: result.scores for name, result in results.items()},
    }


def extract(model: ToyNet, folder: Path, **data) -> Features:
    dataloader = Runner.build_dataloader(loader(**data))
    return extract_features(model, dataloader, folder, pooling='gap')


def patches(folder: Path) -> dict:
    """A bank of patches of five images, of which the second process repeats one."""
    samples = scenes(5).dataset
    sampler = DefaultSampler(samples, shuffle=False)
    dataloader = DataLoader(samples, batch_size=2, sampler=sampler, collate_fn=list)
    with shared_temporary_folder(folder) as new:
        bank = extract_patches(
            *(Scenes(), dataloader, new),
            **{'num_classes': 2, 'num_patches': 10, 'sampling': 'rare', 'dtype': 'float32'},
        )
        tables = {'x': bank.x[:], 'shares': bank.shares[:], 'images': bank.images}
        return {name: table.tolist() for name, table in tables.items()}


def fail_together(rank: int, folder: Path) -> list[str]:
    """A bad feature and a full disk, both of the second process."""
    errors = []
    writes_fully = patch.object(RowWriter, 'append', side_effect=OSError(28, 'No space left'))
    for data, trouble in (({**BANK, 'nan_at': 7}, nullcontext()), (BANK, writes_fully)):
        try:
            with shared_temporary_folder(folder) as new, trouble if rank else nullcontext():
                extract(ToyNet(), new, **data)
        except MimBenchError as error:
            errors.append(str(error))
    return errors


def classify(rank: int, world_size: int) -> list[bool] | None:
    """Which of nine images were right, by their names; the last process repeats some of them."""
    metric = Accuracy()
    scores = torch.tensor([0.9, 0.1])
    samples = [
        {
            'pred_score': scores,
            'gt_label': torch.tensor([int(i in (0, 4, 5))]),
            'img_path': f'{8 - i}.jpg',
        }
        for i in range(9)
    ]
    padded = [*samples, *samples][: -(-9 // world_size) * world_size]
    metric.process({}, padded[rank::world_size])
    metric.evaluate(9)
    return None if metric.outcomes is None else metric.outcomes.hits['top1'].tolist()


def stop_together(rank: int) -> str:
    """Only the second process has a bad loss."""
    loss = torch.tensor(float('inf') if rank == 1 else 1.0)
    batch = {'data_samples': [ToyImages()[4]['data_samples']]}
    hook = FiniteLossHook()
    try:
        # Processes hear of each other's loss at their next look.
        for value in (loss, torch.tensor(1.0)):
            hook.after_train_iter(FakeRunner(), 0, batch, {'loss': value})
    except TrainingError as error:
        return str(error)
    return 'went on'


def work(rank: int, folder: str) -> None:
    DATASETS.register_module(module=ToyImages, force=True)
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/init', rank=rank, world_size=2)
    features = Path(folder) / 'features'
    result = {
        'fail': fail_together(rank, features),
        **measure(features),
        'right': classify(rank, 2),
        'stop': stop_together(rank),
        'patches': patches(Path(folder)),
    }
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
    start_together(work, (str(folder),))
    return [
        {**json.loads((folder / f'{rank}.json').read_text()), 'folder': folder / 'features'}
        for rank in range(2)
    ]


def test_extract_features_two_processes_have_all_in_order_once(results, tmp_path):
    alone = measure(tmp_path)
    for rank in range(2):
        assert results[rank]['y'] == alone['y']
        torch.testing.assert_close(torch.tensor(results[rank]['x']), torch.tensor(alone['x']))


def test_extract_patches_two_processes_agree_with_one(results, tmp_path):
    alone = patches(tmp_path)
    assert alone['images'] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert results[0]['patches'] == results[1]['patches'] == alone


def test_cached_features_of_two_processes_serve_one(results):
    with patch(f'{__name__}.extract', side_effect=AssertionError('extracted again')):
        again = measure(results[0]['folder'])
    assert again['x'] == results[0]['x']


def test_extract_features_all_processes_raise_what_one_meets(results):
    bad, full = results[0]['fail']
    assert '1 of 31 samples are not finite in float32, the first at index 7' in bad
    assert 'No space left' in full
    assert results[0]['fail'] == results[1]['fail']
    # What was begun is gone; the two caches are of the measurement.
    assert len(list(results[0]['folder'].iterdir())) == 2


def test_run_probe_two_processes_agree_with_one(results, tmp_path):
    alone = measure(tmp_path)
    for probe in ('knn', 'linear'):
        assert results[0][probe] == results[1][probe] == pytest.approx(alone[probe])
    assert results[0]['hits'] == results[1]['hits'] == alone['hits']


def test_accuracy_first_process_has_the_outcomes_of_all_images(results):
    # Images 8, 4 and 3 by name are wrong.
    assert [i for i, right in enumerate(results[0]['right']) if not right] == [3, 4, 8]
    assert results[0]['right'] == classify(0, 1)
    assert results[1]['right'] is None


def test_finite_loss_hook_all_processes_stop_and_name_the_bad_one(results):
    assert 'on process 1 loss = inf, on the images images/4.jpg' in results[0]['stop']
    assert results[0]['stop'] == results[1]['stop']
