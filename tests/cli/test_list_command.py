import json

import pytest

from mim_bench.cli.main import main
from mim_bench.conversion.sources import SOURCES
from mim_bench.published.numbers import load_published
from mim_bench.suite.tasks import SUITES, load_suite


@pytest.fixture
def listed(capsys):
    """What a list prints as JSON."""

    def run(*words):
        assert main(['list', *words, '--json']) == 0
        return json.loads(capsys.readouterr().out)

    return run


def test_list_methods_are_those_of_the_pretraining_configs(listed):
    methods = {entry['method']: entry for entry in listed('methods')}
    assert {'ummae', 'localmim', 'conmim', 'symmim', 'mae', 'simmim', 'beit'} <= set(methods)
    assert (methods['ummae']['model'], methods['mae']['model']) == ('mim_bench', 'mmpretrain')
    assert methods['conmim']['epochs'] == [300, 400, 800, 1600]


def test_list_fields_of_every_file_as_a_schema_and_a_table(listed, capsys):
    for file in ('curves', 'suite', 'manifest', 'published', 'record'):
        schema = listed('fields', file)
        assert main(['list', 'fields', file]) == 0
        assert capsys.readouterr().out
    assert schema['properties']['seed']['maximum'] == 2**53
    assert schema['additionalProperties'] is False
    assert 'cost' in schema['required']


def test_list_tasks_have_protocols_and_configs(listed):
    tasks = listed('tasks')
    (entry,) = [t for t in tasks if t['protocol'] == 'in1k-ft-mae-50e-vit-large']
    assert (entry['task'], entry['version'], entry['suites']) == ('in1k-ft', '1', ['full'])
    assert entry['backbones'] == ['vit-large']
    assert entry['configs'][0].startswith('configs/classification/finetune_vit-large_')
    assert tasks[0]['task'] == 'in1k-knn'


def test_list_tasks_has_every_task_of_the_suites(listed):
    found = {(entry['task'], entry['protocol']): entry for entry in listed('tasks')}
    for name in SUITES:
        in_suite = {task for (task, _), entry in found.items() if name in entry['suites']}
        assert in_suite == set(load_suite(name).tasks)
    robust = found['imagenet-a-knn', 'in1k-probe-imagenet-a']
    assert robust['configs'] == found['in1k-knn', 'in1k-probe']['configs']


def test_list_sources_are_all_of_them(listed):
    assert {entry['source'] for entry in listed('sources')} == set(SOURCES)


def test_list_backbones_say_their_sizes(listed):
    backbones = {entry['name']: entry for entry in listed('backbones')}
    assert backbones['mim_bench.Swin']['archs'] == ['tiny', 'small', 'base', 'large']
    assert backbones['mim_bench.UMMAEPvt']['use'] == 'downstream'
    assert backbones['mim_bench.UMMAEPretrainSwin']['use'] == 'pre-training'
    assert ':class:' not in json.dumps(backbones)


def test_list_published_gives_every_number_with_its_source(listed):
    data = listed('published')
    assert len(data['results']) == len(load_published())
    assert all(entry['row'] and entry['link'] for entry in data['results'])


def test_list_published_of_one_method(listed):
    data = listed('published', '--method', 'symmim')
    assert [(r['backbone'], r['value']) for r in data['results']] == [('vit-large', 85.9)]


def test_list_published_unknown_method_is_one_message_and_status_one(capsys):
    assert main(['list', 'published', '--method', 'conmin']) == 1
    assert "Did you mean 'conmim'?" in ' '.join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ('kind', 'key'),
    [('methods', 'method'), ('tasks', 'task'), ('sources', 'source'), ('backbones', 'name')],
)
def test_list_prints_a_table_of_the_same_entries(kind, key, listed, capsys):
    names = {entry[key] for entry in listed(kind)}
    assert main(['list', kind]) == 0
    printed = capsys.readouterr().out
    assert not [name for name in names if name not in printed]


@pytest.mark.parametrize('words', [[], ['colours'], ['tasks', '--method', 'mae']], ids=str)
def test_list_wrong_use_exits_two(words, capsys):
    with pytest.raises(SystemExit, match='2'):
        main(['list', *words])
    assert 'usage: mim-bench' in capsys.readouterr().err
