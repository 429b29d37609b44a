import numpy as np
import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes import knn
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.knn import knn_hits, knn_predict
from mim_bench.evaluation.probes.scores import accuracies


def random_features(count: int, classes: int, seed: int, width: int = 6) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(
        torch.randn(count, width, generator=generator),
        torch.randint(classes, (count,), generator=generator),
    )


def brute_force(bank: Features, query: torch.Tensor, k: int, temperature: float) -> list[list[int]]:
    """The definition, one query and one neighbour at a time."""
    ranked = []
    for q in query.double():
        cosines = [(torch.dot(q, x) / (q.norm() * x.norm())).item() for x in bank.x.double()]
        nearest = sorted(range(len(cosines)), key=lambda i: -cosines[i])[:k]
        votes = torch.zeros(bank.num_classes, dtype=torch.float64)
        for i in nearest:
            votes[bank.y[i]] += torch.tensor(cosines[i] / temperature, dtype=torch.float64).exp()
        ranked.append(votes.argsort(descending=True)[:5].tolist())
    return ranked


@pytest.mark.parametrize('chunks', [(1000, 1000), (7, 4), (1, 1)])
def test_knn_predict_any_chunks_equals_brute_force(chunks, monkeypatch):
    monkeypatch.setattr(knn, '_CPU_CHUNKS', chunks)
    bank, query = random_features(50, 8, seed=0), random_features(11, 8, seed=1)
    ranked = knn_predict(bank, query.x, k=20, temperature=0.07)
    expected = brute_force(bank, query.x, 20, 0.07)
    # Beyond the classes that got votes the order is arbitrary; the first two always did.
    assert [row[:2] for row in ranked.tolist()] == [row[:2] for row in expected]


@pytest.mark.parametrize('order', ['shuffled', 'nearest last'])
def test_knn_predict_wide_mapped_bank_equals_the_simple_code(tmp_path, order, monkeypatch):
    """Large enough for the fast product of a CPU; the bank in any order."""
    bank, query = random_features(3000, 8, seed=0, width=256), random_features(600, 8, 1, 256)
    if order == 'nearest last':
        rows = (bank.x @ query.x.mean(dim=0)).argsort()
        bank = Features(bank.x[rows], bank.y[rows])
    np.save(tmp_path / 'x.npy', bank.x.numpy())
    np.save(tmp_path / 'y.npy', bank.y.numpy())
    monkeypatch.setattr(knn, '_CPU_CHUNKS', (1024, 512))
    ranked = knn_predict(Features.open(tmp_path), query.x)

    s, nearest = (unit(query.x) @ unit(bank.x).T).topk(20, dim=1)
    votes = torch.zeros(600, 8, dtype=torch.float64)
    votes.scatter_add_(1, bank.y[nearest], (s / 0.07).exp())
    expected = votes.topk(2, dim=1)
    # Two classes may have the same votes but for rounding.
    clear = (expected.values[:, 0] / expected.values[:, 1] - 1).abs() > 1e-5
    assert clear.sum() > 590
    assert torch.equal(ranked[clear, 0], expected.indices[clear, 0])


def unit(x):
    return torch.nn.functional.normalize(x.double(), dim=1)


def test_knn_predict_near_neighbour_outweighs_two_far_ones():
    bank = Features(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, 0.8]]), torch.tensor([0, 1, 1]))
    query = torch.tensor([[10.0, 0.0]])  # cosines 1, 0.6, 0.6
    assert knn_predict(bank, query, k=3, temperature=0.07)[0, 0] == 0  # e^(5.7) > 2
    assert knn_predict(bank, query, k=3, temperature=10.0)[0, 0] == 1  # e^(0.04) < 2


def test_knn_predict_tiny_temperature_stays_finite():
    bank = random_features(20, 3, seed=0)
    nearest = knn_predict(bank, bank.x, k=5, temperature=1e-4)[:, 0]
    assert torch.equal(nearest, bank.y)


def test_knn_hits_counts_top1_and_top5():
    # Six classes on the axes; the query of class 5 lies nearest to 0, then 5.
    bank = Features(torch.eye(6), torch.arange(6))
    query = Features(
        torch.tensor([[1.0, 0, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0.9]]), torch.tensor([0, 5])
    )
    assert accuracies(knn_hits(bank, query, k=6)) == {'top1': 50.0, 'top5': 100.0}


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'k': 11}, 'k = 11 with a bank of 10'),
        ({'k': 0}, 'k = 0'),
        ({'temperature': 0.0}, 'temperature = 0.0 is not positive'),
    ],
)
def test_knn_predict_bad_setting_raises(settings, message):
    bank = random_features(10, 3, seed=0)
    with pytest.raises(ConfigError, match=message):
        knn_predict(bank, bank.x, **{'k': 5, **settings})


def test_knn_predict_other_width_raises():
    bank = random_features(10, 3, seed=0)
    with pytest.raises(ConfigError, match=r'\(4, 5\) against a bank of shape \(10, 6\)'):
        knn_predict(bank, torch.zeros(4, 5), k=5)
