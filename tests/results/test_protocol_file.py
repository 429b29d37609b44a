import pytest

from mim_bench.errors import RecordError
from mim_bench.files.hashing import protocol_hash
from mim_bench.results.protocol_file import (
    PROTOCOL_FILE,
    read_protocol,
    setting_differences,
    write_protocol,
)

CONTENT = {
    'task': 'in1k-ft',
    'name': 'in1k-ft-mae-100e',
    'version': '1',
    'settings': {'model': {'head': {'loss': 0.1}}, 'pipeline': [{'type': 'Load'}, {'size': 224}]},
}


def differences(first, second):
    return [(d.key, d.first, d.second) for d in setting_differences(first, second)]


def test_protocol_file_round_trip(tmp_path):
    assert write_protocol(CONTENT, tmp_path) == PROTOCOL_FILE
    assert read_protocol(tmp_path / PROTOCOL_FILE, protocol_hash(CONTENT)) == CONTENT


@pytest.mark.parametrize('text', ['', '[1]', '{"task": "other"}', '{"a": NaN}', '{"a": 1e999}'])
def test_protocol_file_of_another_protocol_is_refused(tmp_path, text):
    (tmp_path / PROTOCOL_FILE).write_text(text)
    with pytest.raises(RecordError, match=r'protocol\.json'):
        read_protocol(tmp_path / PROTOCOL_FILE, protocol_hash(CONTENT))


def test_protocol_file_missing_is_refused(tmp_path):
    with pytest.raises(RecordError, match='cannot be read'):
        read_protocol(tmp_path / PROTOCOL_FILE, 'ab' * 6)


def test_setting_differences_by_dotted_key():
    changed = {**CONTENT, 'settings': {'model': {'head': {'loss': 0.2}}, 'pipeline': [
        {'type': 'Load'}, {'size': 384}], 'epochs': 100}}  # fmt: skip
    assert differences(CONTENT, changed) == [
        ('settings.epochs', None, '100'),
        ('settings.model.head.loss', '0.1', '0.2'),
        ('settings.pipeline.1.size', '224', '384'),
    ]


def test_setting_differences_of_equal_protocols_are_none():
    assert differences(CONTENT, CONTENT) == []
    assert differences({'a': (1, 2)}, {'a': [1, 2]}) == []


def test_setting_differences_null_is_not_missing():
    assert differences({'a': None}, {}) == [('a', 'null', None)]
    assert differences({'a': 1}, {'a': True}) == [('a', '1', 'true')]


def test_setting_differences_one_more_item_is_one_difference():
    first = {'p': [{'t': 'load'}, {'t': 'flip'}, {'t': 'pack'}]}
    second = {'p': [{'t': 'load'}, {'t': 'crop'}, {'t': 'flip'}, {'t': 'pack'}]}
    assert differences(first, second) == [('p.1', None, '{"t": "crop"}')]
    assert differences({'p': 'ab'}, {'p': ['a', 'b']}) == [('p', '"ab"', '["a", "b"]')]
