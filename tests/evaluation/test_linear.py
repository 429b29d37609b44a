import numpy as np
import pytest
import torch
from torch import nn

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.dispatch import check_bank
from mim_bench.evaluation.probes.features import Features
from mim_bench.evaluation.probes.linear import LinearSweep, holdout_mask, linear_probe


def clusters(per_class: int, seed: int, spread: float = 0.3) -> Features:
    """Gaussian clusters around the axes, with very different scales of the features."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(4).repeat_interleave(per_class)
    x = torch.eye(4)[y] + spread * torch.randn(len(y), 4, generator=generator)
    return Features(x * torch.tensor([1.0, 10.0, 100.0, 1000.0]) + 5, y)


def test_linear_probe_separable_data_reaches_100_percent():
    result = linear_probe(clusters(50, 0, 0.05), clusters(20, 1, 0.05), epochs=30, batch_size=64)
    assert result.accuracies == {'top1': 100.0}


def test_linear_probe_useless_rates_are_not_selected():
    rates = (1e-9, 0.1, 1e7)
    result = linear_probe(
        clusters(50, 0, 0.4), clusters(50, 1, 0.4), learning_rates=rates, epochs=20, batch_size=32
    )
    assert result.learning_rate == 0.1
    assert result.holdout_top1[0.1] > 80
    assert list(result.holdout_top1) == list(rates)


def test_linear_probe_validation_labels_do_not_change_the_selection():
    train, val = clusters(40, 0, 1.0), clusters(40, 1, 1.0)
    permuted = Features(val.x, val.y.flip(0))
    results = [linear_probe(train, part, epochs=5) for part in (val, permuted)]
    assert results[0].learning_rate == results[1].learning_rate
    assert results[0].holdout_top1 == results[1].holdout_top1
    assert results[0].accuracies != results[1].accuracies


def test_linear_probe_same_seed_same_result_whatever_the_global_state():
    train, val = clusters(40, 0, 1.0), clusters(40, 1, 1.0)
    torch.manual_seed(1)
    first = linear_probe(train, val, epochs=3, seed=4)
    torch.manual_seed(2)
    assert linear_probe(train, val, epochs=3, seed=4) == first


def test_linear_fit_equals_sgd_of_torch():
    """The same batches through torch's own layer, loss, optimiser and schedule."""
    data, epochs, batch_size = clusters(10, 0, 1.0), 3, 16
    rates = torch.tensor([0.01, 0.5])
    statistics = data.x.mean(0), (data.x.var(0, unbiased=False) + 1e-6).sqrt()
    fit = LinearSweep(data, statistics, epochs, batch_size, 'cpu')
    rows = torch.arange(len(data.y))
    heads = fit.train(rows, rates, torch.Generator().manual_seed(0))

    x = (data.x - statistics[0]) / statistics[1]
    for index, rate in enumerate(rates.tolist()):
        layer = nn.Linear(4, 4)
        nn.init.zeros_(layer.weight), nn.init.zeros_(layer.bias)
        optimizer = torch.optim.SGD(layer.parameters(), rate, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * 3)
        generator = torch.Generator().manual_seed(0)
        for _ in range(epochs):
            for batch in torch.randperm(len(rows), generator=generator).split(batch_size):
                optimizer.zero_grad()
                nn.functional.cross_entropy(layer(x[batch]), data.y[batch]).backward()
                # torch folds the rate in after the momentum, as the probe does.
                optimizer.step()
                schedule.step()
        torch.testing.assert_close(heads.weight[index], layer.weight.data, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(heads.bias[index], layer.bias.data, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('group_bytes', [1, 16 * 16 * 3, 2**30])
def test_linear_probe_mapped_features_give_the_result_of_those_in_memory(
    tmp_path, monkeypatch, group_bytes
):
    train, val = clusters(40, 0, 1.0), clusters(30, 1, 1.0)
    settings = dict(epochs=3, batch_size=16)
    expected = linear_probe(train, val, **settings)
    monkeypatch.setattr('mim_bench.evaluation.probes.linear._GROUP_BYTES', group_bytes)
    mapped = [save(features, tmp_path / str(i)) for i, features in enumerate((train, val))]
    assert linear_probe(*mapped, **settings) == expected


def save(features: Features, folder) -> Features:
    folder.mkdir()
    np.save(folder / 'x.npy', features.x.numpy())
    np.save(folder / 'y.npy', features.y.numpy())
    return Features.open(folder)


def test_linear_holdout_takes_the_share_of_each_class():
    y = torch.tensor([0] * 50 + [1] * 30 + [2] * 4 + [3])
    mask = holdout_mask(y, 0.1, torch.Generator().manual_seed(0))
    assert torch.bincount(y[mask], minlength=4).tolist() == [5, 3, 1, 0]


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        ({'learning_rates': []}, 'learning_rates'),
        ({'learning_rates': [0.1, -1.0]}, 'Give positive ones'),
        ({'epochs': 0}, 'epochs = 0'),
        ({'holdout_share': 1.0}, 'holdout_share = 1.0'),
    ],
)
@pytest.mark.parametrize('probe', ['linear', 'attentive'])
def test_bad_setting_of_a_sweep_is_refused_before_there_are_features(probe, settings, message):
    with pytest.raises(ConfigError, match=message):
        check_bank(clusters(5, 0).y, {probe: settings}, on_best_layer=False)


def test_linear_probe_nothing_to_hold_out_raises():
    single = clusters(1, 0)
    with pytest.raises(ConfigError, match='can hold out none of 4 training features'):
        linear_probe(single, single)
