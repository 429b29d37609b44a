import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.testing.toy_runs import loader, make_runner, test_settings


def test_probe_test_loop_reports_every_probe_in_percent(pretraining):
    runner = make_runner(pretraining(**test_settings()))
    metrics = runner.test()
    assert set(metrics) == {
        'knn/top1',
        'linear/top1',
        'linear/lr',
        'linear/holdout_top1_lr0.001',
        'linear/holdout_top1_lr1',
    }
    assert metrics['linear/top1'] > 50
    assert metrics['linear/lr'] == 1.0
    assert runner.message_hub.get_scalar('test/knn/top1').current() == metrics['knn/top1']


def test_probe_test_loop_warns_of_a_rate_at_the_end_of_the_range(pretraining, capsys):
    runner = make_runner(pretraining(**test_settings(), log_level='WARNING'))
    runner.test()
    assert 'the selected learning rate 1 is the largest' in capsys.readouterr().out


def test_probe_test_loop_one_probe_runs_alone(pretraining):
    runner = make_runner(pretraining(**test_settings(probes={'knn': {'k': 3}})))
    assert set(runner.test()) == {'knn/top1'}


def test_probe_test_loop_twice_gives_the_same(pretraining):
    torch.manual_seed(0)
    runner = make_runner(pretraining(**test_settings()))
    first = runner.test()
    torch.rand(100)
    assert runner.test() == first


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'probes': {'knnn': {}}}, "Unknown probe 'knnn'. Known: knn, linear"),
        ({'probes': {'knn': {'K': 3}}}, "'knn' has no setting K. Known: k, temperature"),
        ({'probes': {'linear': {'lr': 3}}}, 'no setting lr. Known: learning_rates'),
        ({'probes': {}}, 'no probes'),
    ],
)
def test_probe_test_loop_bad_probe_raises(pretraining, changes, message):
    runner = make_runner(pretraining(**test_settings(**changes)))
    with pytest.raises(ConfigError, match=message):
        runner.test()


def test_probe_test_loop_with_evaluator_raises(pretraining):
    settings = test_settings() | {'test_evaluator': [dict(type='ToyMetric', values={})]}
    runner = make_runner(pretraining(**settings))
    with pytest.raises(ConfigError, match='would ignore test_evaluator'):
        runner.test()


def test_probe_test_loop_shuffled_bank_raises(pretraining):
    runner = make_runner(pretraining(**test_settings(bank_dataloader=loader(shuffle=True))))
    with pytest.raises(ConfigError, match='the sampler shuffles'):
        runner.test()
