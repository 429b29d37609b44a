"""Test-time augmentation: what it replaces, what it loads, and what the record says."""

from copy import deepcopy

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseTTAModel
from mmengine.registry import MODELS

from mim_bench.cli.main import main
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import CheckpointError, ConfigError
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.recipe.tta import network_settings, unwrap, use_test_time_augmentation
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, write_child
from mim_bench.testing.toy_runs import make_runner

TTA = {'tta_model': {'type': 'ToyTTA'}, 'tta_pipeline': [{'type': 'Flip'}]}


class ToyTTA(BaseTTAModel):
    """Takes the first augmentation."""

    def merge_preds(self, data_samples_list):
        return [samples[0] for samples in data_samples_list]


@pytest.fixture(autouse=True)
def _toy_tta():
    MODELS.register_module(module=ToyTTA, force=True)
    yield
    MODELS.module_dict.pop('ToyTTA')


def make_config(**changes):
    settings = {
        'model': {'type': 'Net', 'backbone': {'type': 'ViT'}},
        'test_dataloader': {'dataset': {'type': 'Images', 'pipeline': [{'type': 'Load'}]}},
        'protocol': {'task': 'a', 'name': 'a-1e'},
    }
    return Config(deepcopy({**settings, **changes}))


def with_tta(**changes):
    cfg = make_config(**TTA, **changes)
    use_test_time_augmentation(cfg)
    return cfg


def test_use_tta_replaces_model_pipeline_and_name():
    cfg = with_tta()
    assert cfg.model == {'type': 'ToyTTA', 'module': make_config().model}
    assert cfg.test_dataloader.dataset.pipeline == TTA['tta_pipeline']
    assert cfg.protocol.name == 'a-1e-tta'
    assert network_settings(cfg) == network_settings(make_config()) == make_config().model


def test_use_tta_replaces_the_pipeline_inside_a_wrapper():
    inner = {'type': 'Images', 'pipeline': [{'type': 'Load'}]}
    cfg = with_tta(test_dataloader={'dataset': {'type': 'Repeat', 'dataset': inner}})
    assert cfg.test_dataloader.dataset.dataset.pipeline == TTA['tta_pipeline']
    assert 'pipeline' not in cfg.test_dataloader.dataset


def test_use_tta_names_the_protocols_of_all_tasks():
    tasks = [{'task': 'a', 'protocol': {'name': 'own'}}, {'task': 'b'}]
    protocol = with_tta(protocol={'name': 'shared', 'tasks': tasks}).protocol
    assert protocol.name == 'shared-tta'
    assert protocol.tasks[0].protocol.name == 'own-tta'


@pytest.mark.parametrize('preprocessor', [{}, {'data_preprocessor': {'mean': 2}}])
def test_use_tta_leaves_the_preprocessor_to_the_network(preprocessor):
    cfg = with_tta(data_preprocessor={'mean': 1}, model={'type': 'Net', **preprocessor})
    assert cfg.data_preprocessor is None
    assert cfg.model.module.data_preprocessor.mean == (2 if preprocessor else 1)


@pytest.mark.parametrize('missing', TTA)
def test_use_tta_config_without_it_raises(missing):
    cfg = make_config(**{key: value for key, value in TTA.items() if key != missing})
    with pytest.raises(ConfigError, match=f'has no {missing}, so --tta has nothing to run'):
        use_test_time_augmentation(cfg)


def test_use_tta_config_without_a_test_raises():
    with pytest.raises(ConfigError, match=r'no test_dataloader\.dataset'):
        with_tta(test_dataloader=None)


def test_protocol_settings_differ_only_when_tta_is_used():
    plain = protocol_settings(make_config())
    assert protocol_settings(make_config(**TTA)) == plain
    assert protocol_settings(with_tta()) != plain


def make_tta_runner(pretraining):
    return make_runner(
        pretraining(model={'type': 'ToyTTA', 'module': {'type': 'ToyNet'}}), BenchRunner
    )


def test_load_checkpoint_fills_the_network_inside(pretraining, tmp_path):
    runner = make_tta_runner(pretraining)
    state = {k: torch.rand(v.shape) for k, v in runner.model.module.state_dict().items()}
    torch.save({'state_dict': state}, tmp_path / 'model.pth')
    runner.load_checkpoint(str(tmp_path / 'model.pth'))
    assert all((p == state[k]).all() for k, p in runner.model.module.named_parameters())
    assert (runner.load_report.share, runner.load_report.missing) == (1.0, [])


def test_load_checkpoint_of_another_network_raises(pretraining, tmp_path):
    runner = make_tta_runner(pretraining)
    torch.save({'state_dict': {'head.weight': torch.zeros(1)}}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='of ToyNet'):
        runner.load_checkpoint(str(tmp_path / 'other.pth'))


def test_backbone_checkpoint_fills_the_backbone_inside(pretraining, tmp_path):
    weights = {'backbone.weight': torch.rand(4, 3, 3, 3), 'backbone.bias': torch.rand(4)}
    torch.save({'state_dict': weights}, tmp_path / 'a.pth')
    runner = make_tta_runner(pretraining)
    runner.cfg.backbone_checkpoint = str(tmp_path / 'a.pth')
    runner.load_or_resume()
    backbone = unwrap(runner.model).backbone
    assert all((p == weights[f'backbone.{k}']).all() for k, p in backbone.named_parameters())


@pytest.mark.stack
def test_command_tta_record_is_of_another_protocol(toy_root, tmp_path):
    """Train two iterations; test plainly and under augmentation."""
    base = find_config(configs_folder(), 'upernet_swin-toy_*')
    short = [
        "log_level = 'ERROR'",
        'train_cfg = dict(max_iters=2, val_interval=2)',
        'train_dataloader = dict(batch_size=2)',
        'effective_batch_size = 2',
        'val_dataloader = dict(dataset=dict(indices=2))',
        'test_dataloader = dict(dataset=dict(indices=2))',
        'default_hooks = dict(checkpoint=dict(interval=2))',
    ]
    config = write_child(tmp_path / 'segment.py', base, '\n'.join(short))
    model = tmp_path / 'train' / 'iter_2.pth'
    runs = {
        'train': ['train', config],
        'whole': ['test', config, model],
        'tta': ['test', config, model, '--tta'],
    }
    shared = ['--data-root', data_root(base, toy_root), '--results-dir', tmp_path / 'results']
    records = {}
    for name, words in runs.items():
        words = [*words, *shared, '--run-id', name, '--work-dir', tmp_path / name]
        assert main([str(word) for word in words]) == 0
        records[name] = read_record(tmp_path / 'results' / name / 'record.json')
    assert {record.status for record in records.values()} == {'done'}
    assert all(0 <= record.metrics['mIoU'].value <= 100 for record in records.values())
    assert records['train'].metrics['mIoU'] == records['whole'].metrics['mIoU']
    assert records['whole'].protocol.name + '-tta' == records['tta'].protocol.name
    assert records['whole'].protocol.hash != records['tta'].protocol.hash
    assert records['tta'].checkpoint.backbone == 'Swin'
