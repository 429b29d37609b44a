"""Probes that are read from a file classify as those that were fitted."""

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.dispatch import run_on_best_layer, run_probe
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.fitted import FittedProbes, class_scores
from mim_bench.evaluation.probes.pooling import TOKEN_GRID

CLASSES = 7
SETTINGS = {
    'knn': {'k': 3},
    'linear': {'epochs': 2, 'learning_rates': [1.0]},
    'attentive': {'epochs': 1, 'learning_rates': [1e-2], 'batch_size': 32},
}


def features(count, seed, width):
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % CLASSES
    centres = torch.randn(CLASSES, width, generator=torch.Generator().manual_seed(9))
    return Features(centres[y] + 2 * torch.randn(count, width, generator=generator), y)


def through_a_file(folder, name, result, bank):
    FittedProbes('digest', CLASSES, '.', 'bank', {}, {name: result.fitted}).write(folder)
    found = FittedProbes.read(folder)
    return class_scores(name, found.probes[name], lambda: bank, 'cpu')


@pytest.mark.parametrize('name', SETTINGS)
def test_class_scores_from_a_file_rank_as_the_probe(tmp_path, name):
    width = TOKEN_GRID**2 * 2 if name == 'attentive' else 8
    bank, query = features(70, 0, width), features(35, 1, width)
    result = run_probe(name, bank, query, device='cpu', settings=SETTINGS[name])
    classify = through_a_file(tmp_path, name, result, bank)
    scores = classify(query.x)
    assert scores.shape == (35, CLASSES)
    assert 0 < result.hits['top1'].sum() < 35
    assert torch.equal(scores.argmax(dim=1) == query.y, result.hits['top1'])
    top5 = (scores.topk(5).indices == query.y[:, None]).any(dim=1)
    assert torch.equal(top5, result.hits['top5'])


@pytest.mark.parametrize('name', ['knn', 'linear'])
def test_class_scores_of_the_best_layer_read_its_columns(tmp_path, name):
    bank, query = features(70, 0, 8), features(35, 1, 8)
    noise = [torch.randn(len(part.y), 3) for part in (bank, query)]
    bank, query = (
        Features(torch.cat([n, p.x], dim=1), p.y) for n, p in zip(noise, (bank, query), strict=True)
    )
    how = {'device': 'cpu', 'settings': SETTINGS[name]}
    result = run_on_best_layer(name, bank, query, [3, 8], **how)
    assert result.scores['layer'] == 2
    classify = through_a_file(tmp_path, name, result, bank)
    assert torch.equal(classify(query.x).argmax(dim=1) == query.y, result.hits['top1'])


def test_fitted_probes_of_another_folder_raise(tmp_path):
    with pytest.raises(ConfigError, match=r'probes\.pth: no fitted probes'):
        FittedProbes.read(tmp_path)
