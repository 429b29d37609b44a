"""The hash of a protocol: what splits it, what does not, and that nothing is forgotten."""

import json
import re
from copy import deepcopy

import pytest
import torch
from mmengine.config import Config

from mim_bench.engine.run_record import config_file, make_protocol, protocol_tasks
from mim_bench.errors import ConfigError
from mim_bench.recipe.building import build_model
from mim_bench.recipe.config import load_config, set_data_root
from mim_bench.recipe.data_content import dataset_content, files_digest
from mim_bench.recipe.protocol import protocol_settings, read_settings
from mim_bench.recipe.start import protocol_start
from mim_bench.suite.config_index import index_configs
from mim_bench.testing.config_names import CONFIGS, PATHS, for_every, load, parse
from mim_bench.testing.toy_runs import run_config

BASE = {'name': 'in1k-ft', 'version': 1, 'tier': 'full'}
DOWNSTREAM = [
    CONFIGS / e.path.removeprefix('configs/') for e in index_configs() if e.method is None
]


def find(pattern):
    return next(p for p in PATHS if re.fullmatch(pattern, p.stem))


FINETUNE = find('finetune_vit-base_.*common.*_in1k-224px')
PROBE = find('linear_vit-base_.*mae.*')
UPERNET = find('upernet_vit-base_.*common.*')
LINEAR = find('linear_vit-base_.*common.*_ade20k.*')
WINDOWED = find('mask-rcnn_vit-base_.*common.*')


def digest(cfg):
    """The hash of the first task of a config."""
    task, settings = protocol_tasks(cfg)[0]
    return make_protocol(settings, task, cfg).hash


def changed(path, options):
    return digest(load_config(path, options))


@pytest.mark.parametrize(
    ('path', 'options'),
    [
        pytest.param(PROBE, {'model.backbone.frozen_stages': -1}, id='a probe that fine-tunes'),
        pytest.param(PROBE, {'model.backbone.out_type': 'avg_featmap'}, id='probe of the average'),
        pytest.param(FINETUNE, {'model.backbone.drop_path_rate': 0.3}, id='drop path'),
        pytest.param(FINETUNE, {'model.backbone.frozen_stages': 12}, id='frozen backbone'),
        pytest.param(FINETUNE, {'custom_hooks': [{'type': 'EMAHook', 'momentum': 1e-4}]}, id='EMA'),
        pytest.param(UPERNET, {'model.backbone.out_indices': [2, 5, 8, 11]}, id='taps'),
        pytest.param(UPERNET, {'model.backbone.norm_taps': True}, id='norm of each tap'),
        pytest.param(UPERNET, {'model.test_cfg.mode': 'other'}, id='sliding windows'),
        pytest.param(WINDOWED, {'model.backbone.window_size': 14}, id='window size'),
        pytest.param(
            WINDOWED, {'model.backbone.global_blocks': list(range(12))}, id='all blocks global'
        ),
        pytest.param(
            WINDOWED, {'val_dataloader.batch_size': 4}, id='images padded to others of a batch'
        ),
        pytest.param(FINETUNE, {'optim_wrapper.optimizer.lr': 1e-3}, id='rate of the table'),
        pytest.param(
            FINETUNE,
            {'protocol.by_backbone.plain-huge': {'train_cfg.max_epochs': 9}},
            id='another row',
        ),
    ],
)
def test_hash_of_another_recipe_differs(path, options):
    assert changed(path, options) != digest(load(path))


@pytest.mark.parametrize(
    'options',
    [
        {'val_dataloader.batch_size': 3},
        {'train_cfg.val_interval': 7},
        {'train_dataloader.num_workers': 1},
        {'default_hooks.checkpoint.interval': 9},
        {'randomness.seed': 5},
        {'model.backbone.with_cp': True},
    ],
)
def test_hash_does_not_depend_on_what_cannot_change_a_number(options):
    assert changed(FINETUNE, options) == digest(load(FINETUNE))


class Folder:
    """A data set as mmengine's are: samples that name their files."""

    def __init__(self, root, names):
        self.data_root, self.names = str(root), names

    def __len__(self):
        return len(self.names)

    def get_data_info(self, index):
        return {'img_path': f'{self.data_root}/{self.names[index]}'}


@pytest.mark.parametrize('evaluated', [False, True])
def test_hash_of_other_images_differs(tmp_path, evaluated):
    def content(folder, data):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, text in data.items():
            (tmp_path / folder / name).write_text(text)
        cfg = deepcopy(load(FINETUNE))
        dataset = Folder(tmp_path / folder, sorted(data, reverse=folder == 'copy'))
        cfg.protocol_data = {'train': dataset_content(dataset, evaluated=evaluated)}
        return digest(cfg)

    images = {'a.png': 'one', 'b.png': 'two'}
    own = content('own', images)
    assert own == content('copy', images)  # in another place and order
    assert own != content('longer', {**images, 'b.png': 'three'})
    assert own != content('renamed', {'a.png': 'one', 'c.png': 'two'})
    assert (own != content('bytes', {**images, 'b.png': 'TWO'})) == evaluated


def test_content_depends_on_the_data_root_whatever_was_read_before(tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in' / 'a.png').write_text('one')
    paths = [str(tmp_path / 'in' / 'a.png')]
    outer, inner = (
        files_digest(paths, str(root), read=True) for root in (tmp_path, tmp_path / 'in')
    )
    assert outer != inner == files_digest(paths, str(tmp_path / 'in'), read=True)


def checkpoint(path, **meta):
    torch.save({'state_dict': {}, 'meta': meta}, path)
    return str(path)


def test_hash_of_weights_that_saw_labels_differs(tmp_path):
    def start(**meta):
        cfg = deepcopy(load(FINETUNE))
        cfg.backbone_checkpoint = checkpoint(tmp_path / 'x.pth', **meta)
        cfg.protocol_start = protocol_start(cfg)
        return digest(cfg)

    by = {'task': 'in1k-ft', 'protocol': 'in1k-ft-common', 'version': '1', 'hash': '0' * 12}
    assert start() == start(labels=[]) == digest(load(FINETUNE))
    supervised = start(labels=['in1k'])
    assert supervised != start()
    assert start(labels=['in1k'], trained_by=by) not in (supervised, start())


def test_hash_of_a_part_from_another_file_differs(tmp_path):
    hashes = set()
    for content in ('one', 'two'):
        file = tmp_path / f'{content}.pth'
        file.write_text(content)
        cfg = deepcopy(load(FINETUNE))
        cfg.model.head.init_cfg = {'type': 'Pretrained', 'checkpoint': str(file)}
        cfg.protocol_start = protocol_start(cfg)
        hashes.add(digest(cfg))
    assert len(hashes) == 2


def test_hash_cannot_be_stated():
    with pytest.raises(ConfigError, match='The hash is computed from the config'):
        make_protocol({**BASE, 'hash': '0123456789ab'}, 'in1k-ft', run_config('w'))


def test_hash_of_another_task_name_or_version_differs():
    cfg = load(FINETUNE)
    names = [('in1k-ft', BASE), ('in1k-knn', BASE)]
    names += [('in1k-ft', {**BASE, 'name': 'x'}), ('in1k-ft', {**BASE, 'version': 2})]
    assert len({make_protocol(settings, task, cfg).hash for task, settings in names}) == 4
    assert (
        make_protocol({**BASE, 'tier': 'smoke'}, 'in1k-ft', cfg).hash
        == make_protocol(BASE, 'in1k-ft', cfg).hash
    )


def test_one_name_and_version_is_one_hash():
    hashes = {}
    for path in DOWNSTREAM:
        for task, settings in protocol_tasks(load(path)):
            protocol = make_protocol(settings, task, load(path))
            found = hashes.setdefault((task, protocol.name, protocol.version), {})
            found.setdefault(protocol.hash, []).append(path.stem)
    assert not {name: found for name, found in hashes.items() if len(found) > 1}


@pytest.mark.parametrize('name', ['test_convnext', 'test_vit'])
@pytest.mark.parametrize('path', [FINETUNE, UPERNET, LINEAR, WINDOWED], ids=lambda path: path.stem)
def test_common_protocol_of_a_timm_model_is_that_of_the_families(tmp_path, path, name):
    own = f"backbone=dict(_delete_=True, type='mim_bench.TimmBackbone', name='{name}')"
    (tmp_path / 'own.py').write_text(f"_base_ = '{path}'\nmodel = dict({own})\n")
    assert digest(load_config(tmp_path / 'own.py')) == digest(load(path))


@pytest.mark.parametrize('name', ['test_convnext', 'test_vit'])
def test_linear_probe_of_a_timm_model_trains_the_head_alone(tmp_path, name):
    own = f"backbone=dict(_delete_=True, type='mim_bench.TimmBackbone', name='{name}')"
    (tmp_path / 'own.py').write_text(f"_base_ = '{LINEAR}'\nmodel = dict({own})\n")
    cfg = load_config(tmp_path / 'own.py')
    model = build_model(cfg).train()
    assert cfg.model.backbone.frozen_stages == model.backbone.num_outputs
    trained = {name.partition('.')[0] for name, p in model.named_parameters() if p.requires_grad}
    assert {'decode_head'} <= trained <= {'decode_head', 'neck'}


# One config a head, data set and family.
CHOSEN = list(
    {
        (parse(p)['head'], parse(p)['dataset'], parse(p)['backbone'].rpartition('-')[0]): p
        for p in DOWNSTREAM
        if parse(p)['size'] != 'toy'
    }.values()
)
SEEN = set()


@for_every(CHOSEN)
def test_every_leaf_is_hashed_or_on_the_harmless_list(path):
    cfg = deepcopy(load(path))
    task, settings = protocol_tasks(cfg)[0]
    whole, left_out = make_protocol(settings, task, cfg).hash, read_settings(cfg).left_out
    forgotten = []
    for key, holder, last in leaves(cfg._cfg_dict):
        value = holder[last]
        kind = key, holder.get('type') if isinstance(holder, dict) else None
        parts = key.split('.')
        is_listed = any('.'.join(parts[: n + 1]) in left_out for n in range(len(parts)))
        if kind in SEEN or is_listed:
            continue
        SEEN.add(kind)  # for the configs after this one
        holder[last] = mutated(value)
        _, settings = protocol_tasks(cfg)[0]
        try:
            unchanged = make_protocol(settings, task, cfg).hash == whole
        except (ConfigError, KeyError, IndexError, TypeError):
            unchanged = False  # refused before anything is trained
        finally:
            holder[last] = value
        if unchanged:
            forgotten.append(key)
    assert make_protocol(protocol_tasks(cfg)[0][1], task, cfg).hash == whole
    assert not forgotten


def leaves(node, key=''):
    """Dotted key, holder and last key of every value that holds no others."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for last, value in list(items):
        path = f'{key}.{last}'.lstrip('.')
        if isinstance(value, tuple):
            node[last] = list(value)  # so that an item can be exchanged
            value = node[last]
        if isinstance(value, dict | list) and value:
            yield from leaves(value, path)
        elif path.partition('.')[0] != 'protocol':  # hashed beside the settings
            yield path, node, last


def mutated(value):
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f'{value}x'


def test_settings_do_not_tell_where_the_data_lie():
    for path in (FINETUNE, UPERNET, WINDOWED):
        there = load_config(path)
        set_data_root(there, 'somewhere/else')
        assert there.data_root == 'somewhere/else/'
        assert protocol_settings(there) == protocol_settings(load(path))


def test_settings_of_another_file_below_the_data_root_differ():
    def settings(root, file):
        evaluator = {'type': 'CocoMetric', 'ann_file': f'{root}{file}'}
        return protocol_settings(Config({'data_root': root, 'val_evaluator': evaluator}))

    assert settings('a/', 'val.json') == settings('b/c/', 'val.json')
    assert settings('a/', 'val.json') != settings('a/', 'test.json')
    assert settings('a/', 'val.json')['val_evaluator']['ann_file'] == 'val.json'


def test_settings_of_classes_and_infinities_are_plain():
    cfg = Config({'train_cfg': {'type': dict, 'limit': float('inf'), 'steps': (1, 2)}})
    assert json.loads(json.dumps(protocol_settings(cfg))) == {
        'train_cfg': {'type': 'builtins.dict', 'limit': 'inf', 'steps': [1, 2]}
    }


def test_make_protocol_wrong_keys_raise():
    with pytest.raises(ConfigError, match=r"protocol of 'knn' has the keys \["):
        make_protocol({'name': 'x'}, 'knn', run_config('w'))


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
