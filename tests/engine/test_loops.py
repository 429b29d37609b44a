from pathlib import Path

import pytest
import torch

from mim_bench.errors import ConfigError
from mim_bench.evaluation.probes.extraction import extract_features
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.testing.toy_runs import make_runner, test_settings


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


def test_probe_test_loop_twice_gives_the_same(pretraining):
    torch.manual_seed(0)
    runner = make_runner(pretraining(**test_settings()))
    first = runner.test()
    torch.rand(100)
    assert runner.test() == first


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'probes': {'knnn': {}}}, "Unknown probe 'knnn'. Did you mean 'knn'"),
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


def only_knn(**settings):
    return test_settings(probes={'knn': {'k': 3}}, **settings)


@pytest.fixture
def extractions(monkeypatch):
    """Names of the folders that features were extracted to."""
    folders = []

    def extract(model, dataloader, folder, **settings):
        folders.append(folder)
        return extract_features(model, dataloader, folder, **settings)

    monkeypatch.setattr('mim_bench.engine.loops.extract_features', extract)
    return folders


def test_probe_test_loop_other_probe_reads_the_features_again(pretraining, extractions, capsys):
    torch.manual_seed(0)
    runner = make_runner(pretraining(**only_knn(), log_level='INFO'))
    runner.test()
    assert len(extractions) == 2
    again = make_runner(pretraining(**test_settings(), log_level='INFO'))
    again.model.load_state_dict(runner.model.state_dict())
    capsys.readouterr()
    again.test()
    assert len(extractions) == 2
    kept = sorted((Path(runner.work_dir) / 'features').iterdir())
    log = capsys.readouterr().out
    assert all(f'Features read from {folder}' in log for folder in kept)


def test_probe_test_loop_shares_a_folder_between_runs(pretraining, extractions, tmp_path):
    shared = str(tmp_path / 'shared')
    for name in ('one', 'two'):
        cfg = pretraining(name, **only_knn(cache_dir=shared), randomness={'seed': 1})
        make_runner(cfg).test()
    assert len(extractions) == 2
    assert len(list((tmp_path / 'shared').iterdir())) == 2


def test_probe_test_loop_without_cache_leaves_no_features(pretraining, extractions):
    runner = make_runner(pretraining(**only_knn(cache_dir=None)))
    assert runner.test() == runner.test()
    assert len(extractions) == 4
    assert not list(Path(runner.work_dir).rglob('*.npy'))


def test_probe_test_loop_cache_folder_does_not_split_the_protocol(pretraining):
    one, two = (pretraining(**only_knn(cache_dir=folder)) for folder in ('here', 'there'))
    assert protocol_settings(one) == protocol_settings(two)
