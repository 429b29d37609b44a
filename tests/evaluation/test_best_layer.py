import pytest
import torch

from mim_bench.evaluation.probes.dispatch import run_on_best_layer, run_probe
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.npy_rows import RowsView


def layers(count, seed):
    """Three layers of widths 3, 4 and 2; only the second tells the class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(count) % 4
    noise = [torch.randn(count, width, generator=generator) for width in (3, 4, 2)]
    noise[1] = torch.eye(4)[y] + 0.2 * noise[1]
    return Features(torch.cat(noise, dim=1), y)


@pytest.mark.parametrize(
    ('name', 'settings'),
    [('knn', {'k': 3}), ('linear', {'epochs': 5, 'learning_rates': [0.1, 1.0]})],
)
def test_run_on_best_layer_chooses_on_the_training_features(name, settings):
    bank, query = layers(200, 0), layers(80, 1)
    how = dict(device='cpu', settings=settings)
    found = run_on_best_layer(name, bank, query, [3, 4, 2], **how)
    assert found.scores['layer'] == 2
    assert found.scores['holdout_top1_layer2'] > 90 > found.scores['holdout_top1_layer1']
    second = slice(3, 7)
    alone = [Features(part.x[:, second], part.y) for part in (bank, query)]
    assert found.scores['top1'] == run_probe(name, *alone, **how).scores['top1']
    # Labels of the validation images change nothing but the score.
    wrong = Features(query.x, query.y.flip(0))
    again = run_on_best_layer(name, bank, wrong, [3, 4, 2], **how)
    assert again.scores['layer'] == 2
    assert again.scores['holdout_top1_layer2'] == found.scores['holdout_top1_layer2']


def test_rows_view_gives_some_rows_and_columns():
    table = torch.arange(12.0).reshape(4, 3)
    view = RowsView(table, slice(1, 3), torch.tensor([2, 0]))
    assert view.shape == (2, 2)
    assert view[0:2].tolist() == [[7, 8], [1, 2]]
    assert view[torch.tensor([1])].tolist() == [[1, 2]]
