"""The suites in configs/suites, held against their configs; and what a wrong file is told."""

from pathlib import Path

import pytest
import yaml

from mim_bench.architectures import FAMILIES
from mim_bench.errors import ConfigError
from mim_bench.evaluation.metric_names import ranking_metrics
from mim_bench.report.catalogue import TASKS
from mim_bench.suite.config_index import index_configs, read_settings
from mim_bench.suite.locations import configs_folder
from mim_bench.suite.tasks import SUITES, Network, load_suite
from mim_bench.testing.config_names import PROBES, for_every, load

ALL = [entry for suite in SUITES for entry in load_suite(suite).entries]
ENTRIES = [entry for entry in ALL if not entry.variant]
DATASETS = {'imagenet': 'in1k', 'ade': 'ade20k', 'coco': 'coco'}
BOX = ('bbox_mAP', 'bbox_mAP_50', 'bbox_mAP_75')
MASK = ('segm_mAP', 'segm_mAP_50', 'segm_mAP_75')


@for_every(ENTRIES)
def test_entry_says_what_its_configs_say(entry):
    for backbone, config in entry.configs.items():
        protocol = read_settings(configs_folder() / config)['protocol']
        assert (protocol['name'], protocol['version']) == (entry.protocol, entry.version)
        tasks = protocol.get('tasks') or [{'task': protocol['task']}]
        assert [task['task'] for task in tasks] == list(entry.tasks)
        named = Path(config).name.split('_')[1]
        assert named == backbone or (entry.fit and named.rpartition('-')[0] == backbone)
        for task in tasks:
            assert (
                tuple(task.get('metrics', entry.tasks[task['task']])) == entry.tasks[task['task']]
            )
        is_probe = Path(config).name.startswith(tuple(f'{head}_' for head in PROBES))
        assert is_probe == (entry.command == 'test') == (entry.gpus == 1)


@for_every(ENTRIES)
def test_entry_measures_what_its_evaluator_does(entry):
    cfg = load(configs_folder() / next(iter(entry.configs.values())))
    (dataset,) = (name for folder, name in DATASETS.items() if f'/{folder}/' in cfg.data_root)
    assert dataset == entry.dataset
    if entry.command == 'test' and not cfg.test_evaluator:
        return  # the probes are the metrics
    evaluator = cfg.test_evaluator if entry.command == 'test' else cfg.val_evaluator
    if 'Coco' in evaluator.type:
        given = BOX if evaluator.metric == 'bbox' else BOX + MASK
        roi_head = cfg.model.get('roi_head') or {}
        assert entry.need_stuff == bool(roi_head.get('semantic_head'))
    else:
        given = ('top1', 'top5') if 'Accuracy' in evaluator.type else ('mIoU', 'aAcc', 'mAcc')
    assert list(entry.tasks.values()) == [given]


@for_every(ALL)
def test_entry_s_primary_metric_is_one_that_the_board_shows(entry):
    for task in entry.tasks:
        assert entry.tasks[task][0] in TASKS[task].metrics
        assert entry.tasks[task][0] in ranking_metrics(task)


def test_suites_hold_every_downstream_config_but_those_that_start_from_a_whole_model():
    held = {
        config
        for suite in SUITES
        for e in load_suite(suite).entries
        for config in e.configs.values()
    }
    there = {e.path.removeprefix('configs/') for e in index_configs() if e.method is None}
    assert all('-384px' in path for path in there - held)
    assert held <= there


def test_suites_have_their_tiers():
    assert [load_suite(name).tier for name in SUITES] == list(SUITES)


def test_smoke_runs_any_family_on_configs_that_are_there():
    probe, *_ = load_suite('smoke').entries
    assert set(probe.configs) == set(FAMILIES)
    assert probe.config_of(Network(None, 'swin')) == probe.configs['swin']


@pytest.fixture
def write(tmp_path):
    """Write the smoke suite, changed, and load it."""
    data = yaml.safe_load((configs_folder() / 'suites' / 'smoke.yml').read_text())

    def load(change):
        change(data)
        (tmp_path / 'own.yml').write_text(yaml.safe_dump(data))
        return load_suite(str(tmp_path / 'own.yml'))

    return load


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda d: d.update(teir='full'), r"own\.yml: teir: nothing reads .*did you mean 'tier'"),
        (lambda d: d.pop('tier'), r'own\.yml: missing: tier'),
        (lambda d: d.update(tier='ful'), r"tier: .* or 'full', not 'ful' \(did you mean 'full'"),
        (lambda d: d['entries'][1].update(gpu=1), r"entries\.1 \(toy-ft\)\.gpu: .*'gpus'"),
        (lambda d: d['entries'][1].update(name='toy-probe'), "two entries are named 'toy-probe'"),
        (lambda d: d['entries'][2].update(start='in1k-f'), r"from 'in1k-f', neither .*'in1k-ft'"),
        (lambda d: d['entries'][0].update(dataset='in1'), r"dataset: .*not 'in1' \(did .*'in1k'"),
        (
            lambda d: d['entries'][0]['configs'].update({'vit-toy': 'demo/none.py'}),
            r'\.configs\.vit-toy: there is no file configs/demo/none\.py, and no',
        ),
    ],
)  # fmt: skip
def test_load_suite_wrong_file_names_file_and_key(write, change, message):
    with pytest.raises(ConfigError, match=message):
        write(change)


def test_load_suite_names_everything_that_is_wrong(write):
    with pytest.raises(ConfigError, match=r'0 \(toy-probe\)\.command: .*; teir: .*; missing: tier'):
        write(lambda d: (d.update(teir=d.pop('tier')), d['entries'][0].update(command='tset')))


def test_load_suite_unknown_name_lists_the_known():
    with pytest.raises(ConfigError, match=r"no suite 'smok'\. Did you mean 'smoke'"):
        load_suite('smok')


def test_load_suite_text_that_is_not_yaml_raises(tmp_path):
    (tmp_path / 'own.yml').write_text('tier: [')
    with pytest.raises(ConfigError, match=r'own\.yml: cannot be read'):
        load_suite(str(tmp_path / 'own.yml'))


ENTRY = """
  - name: own-probe
    command: test
    dataset: in1k
    protocol: own-probe
    version: '1'
    fit: true
    start: {start}
    tasks: {{own-knn: [knn_top1]}}
    configs: {{swin: {config}}}
"""


@pytest.fixture
def own(tmp_path):
    """Write a user's file with one task, whose config lies beside it."""
    (tmp_path / 'probes').mkdir()
    (tmp_path / 'probes' / 'mine.py').touch()

    def make(name, *, head='entries:', start='pretrained', config='probes/mine.py'):
        (tmp_path / name).write_text(head + ENTRY.format(start=start, config=config))
        return str(tmp_path / name)

    return make


def test_own_suite_takes_configs_beside_its_file_and_shipped_ones(own, tmp_path):
    suite = load_suite(own('mine.yml', head='tier: full\nentries:'))
    assert (suite.name, suite.tier, suite.tasks) == ('mine', 'full', ['own-knn'])
    (entry,) = suite.entries
    assert entry.configs == {'swin': str(tmp_path / 'probes' / 'mine.py')}
    shipped = 'demo/probe_swin-toy_1xb64_toy-in1k-64px.py'
    (entry,) = load_suite(own('other.yaml', head='tier: full\nentries:', config=shipped)).entries
    assert entry.configs == {'swin': shipped}


def test_tasks_file_adds_to_a_suite_and_may_start_from_its_tasks(own):
    suite = load_suite('smoke', tasks_files=[own('tasks.yml', start='in1k-ft')])
    assert (suite.name, suite.tasks[-1]) == ('smoke', 'own-knn')
    assert suite.entries[:-1] == load_suite('smoke').entries


@pytest.mark.parametrize(('change', 'message'), [
    (dict(start='in1k-f'), r"tasks\.yml: .*starts from 'in1k-f', neither"),
    (dict(config='no.py'), r'tasks\.yml: .*no file configs/no\.py, and no .*no\.py'),
    (dict(head='tier: full\nentries:'), r'tasks\.yml: tier: nothing reads this key'),
])  # fmt: skip
def test_tasks_file_that_is_wrong_is_named(own, change, message):
    with pytest.raises(ConfigError, match=message):
        load_suite('smoke', tasks_files=[own('tasks.yml', **change)])


def test_tasks_file_with_a_name_of_the_suite_is_refused(own):
    path = own('tasks.yml')
    with pytest.raises(ConfigError, match="two entries are named 'own-probe'"):
        load_suite('smoke', tasks_files=[path, path])


def test_own_suite_that_is_not_there_says_so():
    with pytest.raises(ConfigError, match=r'none\.yml: cannot be read'):
        load_suite('none.yml')
