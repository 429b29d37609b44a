from pathlib import Path

import pytest
from mmengine.config import Config

from mim_bench.engine.run_record import config_file, make_protocol
from mim_bench.errors import ConfigError
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.protocol import protocol_settings
from mim_bench.suite.demo import find_config
from mim_bench.testing.toy_runs import loader, run_config

CONFIGS = Path(__file__).parents[2] / 'configs'
UMMAE_SWINS = sorted(CONFIGS.glob('*/*_ummae-swin-*.py'))
BASE = {'name': 'in1k-ft', 'version': 1, 'tier': 'full'}


def digest(cfg, task='in1k-ft', **settings):
    return make_protocol({**BASE, **settings}, task, cfg).hash


def with_model(**model):
    return run_config('w', model={'type': 'ImageClassifier', 'head': {'num_classes': 10}, **model})


@pytest.mark.parametrize(
    'changes',
    [
        {'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.2}}},
        {'train_dataloader': loader(shuffle=True, batch_size=4)},
        {'train_cfg': {'by_epoch': True, 'max_epochs': 3}},
    ],
)
def test_protocol_hash_other_recipe_differs(changes):
    assert digest(run_config('w')) != digest(run_config('w', **changes))


def standard(path):
    """The config of the standard Swin beside that of UM-MAE's."""
    return path.with_name(path.name.replace('_ummae-swin-', '_swin-'))


def has_standard(path):
    return standard(path).exists()


def test_protocol_hash_other_head_task_version_or_settings_differs():
    cfg = with_model()
    hashes = {
        digest(cfg),
        digest(with_model(head={'num_classes': 11})),
        digest(cfg, task='in1k-knn'),
        digest(cfg, version=2),
        digest(cfg, settings={'px': 224}),
    }
    assert len(hashes) == 5


def test_protocol_hash_same_recipe_on_another_backbone_and_machine_is_equal():
    workers = loader(shuffle=True) | {'num_workers': 8}
    workers['dataset'] = workers['dataset'] | {'data_root': 'elsewhere/'}
    one = with_model(backbone={'type': 'ViT'})
    other = with_model(backbone={'type': 'Swin', 'depth': 3})
    other.train_dataloader = workers
    other.work_dir = 'another'
    assert digest(one) == digest(other)


@pytest.mark.parametrize('path', filter(has_standard, UMMAE_SWINS), ids=lambda path: path.stem)
def test_protocol_settings_of_both_swins_are_equal(path):
    """Otherwise their rows would not rank beside each other."""
    one, two = load_config(path), load_config(standard(path))
    assert one.model.backbone != two.model.backbone
    assert protocol_settings(one) == protocol_settings(two)


def test_protocol_settings_both_swins_are_in_every_task():
    names = {path.stem.partition('_')[0] for path in UMMAE_SWINS}
    assert names >= {'finetune', 'probe', 'upernet', 'mask-rcnn'}


@pytest.mark.parametrize('path', UMMAE_SWINS, ids=lambda path: path.stem)
def test_protocol_settings_do_not_tell_where_the_data_lie(path):
    here, there = load_config(path), load_config(path)
    set_data_root(there, 'somewhere/else')
    assert there.data_root == 'somewhere/else/'
    assert protocol_settings(here) == protocol_settings(there)


def test_protocol_settings_other_file_below_the_data_root_differs():
    def settings(root, file):
        evaluator = {'type': 'CocoMetric', 'ann_file': f'{root}{file}'}
        return protocol_settings(Config({'data_root': root, 'val_evaluator': evaluator}))

    assert settings('a/', 'val.json') == settings('b/c/', 'val.json')
    assert settings('a/', 'val.json') != settings('a/', 'test.json')
    assert settings('a/', 'val.json')['val_evaluator']['ann_file'] == 'val.json'


def test_protocol_hash_given_is_taken():
    assert digest(run_config('w'), hash='0123456789ab') == '0123456789ab'


@pytest.mark.parametrize('backbone', ['vit', 'swin', 'ummae-pvt'])
@pytest.mark.parametrize('head', ['probe', 'finetune', 'upernet', 'mask-rcnn'])
def test_protocol_of_every_backbone_of_the_demo_is_one(head, backbone):
    own, reference = (
        load_config(find_config(CONFIGS, f'{head}_{name}-toy_'))
        for name in (backbone, 'ummae-swin')
    )
    assert protocol_settings(own) == protocol_settings(reference)


def test_protocol_tier_does_not_enter_the_hash():
    assert digest(run_config('w'), tier='smoke') == digest(run_config('w'))


def test_protocol_settings_of_classes_and_infinities_are_plain():
    cfg = Config({'train_cfg': {'type': dict, 'limit': float('inf'), 'steps': (1, 2)}})
    assert protocol_settings(cfg) == {
        'train_cfg': {'type': 'dict', 'limit': 'inf', 'steps': [1, 2]}
    }


@pytest.mark.parametrize('protocol', [{'name': 'x'}, {**BASE, 'hsah': '0'}])
def test_make_protocol_wrong_keys_raise(protocol):
    with pytest.raises(ConfigError, match=r"protocol of 'knn' has the keys \["):
        make_protocol(protocol, 'knn', run_config('w'))


def test_config_file_hash_ignores_where_the_run_was_launched():
    record = {'type': 'mim_bench.RecordHook', 'results_dir': 'somewhere'}
    one = run_config('here', custom_hooks=[])
    other = run_config('there', load_from='x.pth', resume=True, custom_hooks=[record])
    changed = run_config('here', custom_hooks=[], randomness={'seed': 8})
    assert config_file(one).sha256 == config_file(other).sha256 != config_file(changed).sha256


def test_config_file_path_starts_at_configs(tmp_path):
    folder = tmp_path / 'configs' / 'demo' / 'configs' / 'x'
    folder.mkdir(parents=True)
    (folder / 'a.py').write_text('seed = 1')
    assert config_file(Config.fromfile(folder / 'a.py')).path == 'configs/x/a.py'
