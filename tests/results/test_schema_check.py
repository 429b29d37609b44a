import copy
import random

import pytest
from jsonschema import Draft202012Validator

from mim_bench.results.record_data import record_to_dict
from mim_bench.results.schema_check import compile_schema
from mim_bench.results.validation import read_schema
from mim_bench.testing.records import make_pretraining_record, make_record

# Of every type, at and beyond the limits that the schemas name.
VALUES = [
    None, True, False, 0, 1, 2, -1, 1.0, 0.5, 2.5, -0.5, 1e300, '', 'a', 'x' * 300, 'x' * 301,
    'a/../b', '/a', 'a\x00', '0123456789ab', 'ab' * 32, '2026-01-01T00:00:00Z', 'done', 'failed',
    'run', 'fp16', [], [1, 2], [1, '2'], {}, {'a': 1}, {'': 'x'},
]  # fmt: skip
BATCH = {
    'gpus': 2, 'images_per_gpu': 32, 'accumulation': 4, 'effective_batch': 256,
    'recipe_batch': 256, 'keep': 'accumulate', 'lr_scaling': 'linear', 'lr_factor': 1.0, 'lr': None,
}  # fmt: skip
LOAD = {'share': 0.5, 'missing': ['a'], 'unexpected': [], 'resized': [], 'parts': {'b': 0.25}}
PICTURE = {'path': 'a/b.png', 'kind': 'detection', 'caption': 'c'}


def full_record():
    data = record_to_dict(make_pretraining_record())
    data['artifacts']['pictures'] = [PICTURE]
    return {**data, 'batch': BATCH, 'load': LOAD, 'precision': 'bf16'}


def places(data, found=()):
    """Every (container, key) of nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in list(items):
        yield (*found, key)
        if isinstance(value, dict | list):
            yield from places(value, (*found, key))


def changed(data, place, change):
    data = copy.deepcopy(data)
    node = data
    for key in place[:-1]:
        node = node[key]
    change(node, place[-1])
    return data


def damaged_ones(data):
    """The data with each value replaced by each of VALUES, removed, or given a neighbour."""
    for place in places(data):
        for value in VALUES:
            yield changed(data, place, lambda node, key, v=value: node.__setitem__(key, v))
        yield changed(data, place, lambda node, key: node.pop(key))
        yield changed(
            data, place, lambda n, _: n.append(0) if isinstance(n, list) else n.update(extra=0)
        )


CASES = {
    'record': [full_record(), record_to_dict(make_record(error='boom'))],
    'curves': [[{'series': 'loss', 'step_unit': 'iter', 'points': [[1, 0.5], [2, 0.25]]}]],
}


@pytest.mark.parametrize('name', CASES)
def test_compiled_schema_agrees_with_jsonschema_on_damaged_data(name):
    schema = read_schema(name)
    check, reference = compile_schema(schema), Draft202012Validator(schema)
    cases = [case for data in CASES[name] for case in damaged_ones(data)]
    # jsonschema is slow, which is why there is another; a third of them each time, the same.
    cases = random.Random(0).sample(cases, len(cases) // 3) + CASES[name] + VALUES
    assert all(check(data) for data in CASES[name])
    verdicts = [(check(case), reference.is_valid(case)) for case in cases]
    wrong = [
        case for case, (quick, slow) in zip(cases, verdicts, strict=True) if quick and not slow
    ]
    assert wrong == []
    # It may refuse what jsonschema then accepts: that costs time only, and 1.0 for 1 is rare.
    assert sum(slow and not quick for quick, slow in verdicts) < 0.01 * len(cases)
    assert not all(quick for quick, _ in verdicts)


def test_compiled_schema_of_every_kind_of_record_is_quick():
    check = compile_schema(read_schema('record'))
    for record in (make_record(), make_pretraining_record(), make_record(error='boom')):
        assert check(record_to_dict(record))


def test_compile_schema_unknown_keyword_raises():
    with pytest.raises(NotImplementedError, match='uniqueItems'):
        compile_schema({'properties': {'a': {'uniqueItems': True}}})
