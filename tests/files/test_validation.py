"""One message for whatever is wrong with a file: where, what stands there, what is expected."""

import json
from typing import Annotated, Literal

import pytest
from pydantic import Field

from mim_bench.errors import ConfigError
from mim_bench.files.validation import Model, field_tables, parse_json, read_yaml


class Wheel(Model):
    """A wheel."""

    name: str
    spokes: Annotated[int, Field(ge=3)] = 32
    """Number of ``spokes``."""


class Bicycle(Model):
    """A bicycle."""

    kind: Literal['road', 'track']
    wheels: list[Wheel]
    spare: Wheel | None = None
    notes: dict[str, float] = Field(default={})


GOOD = 'kind: road\nwheels: [{name: front}, {name: rear, spokes: 28}]\n'


@pytest.fixture
def read(tmp_path):
    def run(text):
        (tmp_path / 'a.yml').write_text(text)
        return read_yaml(Bicycle, tmp_path / 'a.yml', ConfigError)

    return run


def test_read_yaml_gives_the_model(read):
    assert [wheel.spokes for wheel in read(GOOD).wheels] == [32, 28]


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (
            ('spokes: 28', 'spokes: 2'),
            r'1 \(rear\)\.spokes: input .* to 3, not 2\. Correct',
        ),
        (('spokes', 'spoke'), r"wheels\.1 \(rear\)\.spoke: .* \(did you mean 'spokes'\?\)"),
        (('road', 'rode'), r"kind: .*'road' or 'track', not 'rode' \(did you mean 'road'\?\)"),
        (('kind: road', 'kid: road'), r"kid: nothing .* mean 'kind'\?\); missing: kind\. Correct"),
        (('kind', 'spare: {spkes: 40}\nkind'), r"spare\.spkes: .*'spokes'.*; missing: spare\.name"),
        (('kind', 'spokes: 3\nkind'), r'spokes: nothing reads this key\. Correct'),
        (('kind', 'notes: {a: .nan}\nkind'), r'notes\.a: .*finite number, not nan'),
        (('kind', 'notes: {a: true}\nkind'), r'notes\.a: .*valid number, not True'),
        (('kind', 'kind: track\nkind'), r"cannot be read \(key 'kind' stands twice"),
        (('kind', '\tkind'), 'cannot be read'),
        (('road', 'x' * 999), r"not 'x{99}…"),
    ],
)
def test_read_yaml_names_file_place_value_and_expectation(read, change, message):
    with pytest.raises(ConfigError, match=rf'(?s)a\.yml: .*{message}'):
        read(GOOD.replace(*change, 1))


def test_read_yaml_missing_file_raises(tmp_path):
    with pytest.raises(ConfigError, match=r'a\.yml: cannot be read \(No such file'):
        read_yaml(Bicycle, tmp_path / 'a.yml', ConfigError)


def test_parse_json_names_the_first_problems_and_counts_the_rest():
    with pytest.raises(ConfigError) as error:
        parse_json(list[int], json.dumps(10 * ['a']), 'f', ConfigError)
    assert str(error.value).count("not 'a'") == 8
    assert 'and 2 more. Correct' in str(error.value)


def test_field_tables_tell_name_type_and_meaning():
    tables = field_tables(Bicycle)
    assert tables['Wheel'] == (
        'A wheel.',
        [('name', 'string', ''), ('spokes', 'integer', 'Number of `spokes`.')],
    )
    types = [kind for _, kind, _ in tables['Bicycle'][1]]
    assert types == ['road, track', 'array of Wheel', 'Wheel or null', 'object of number']
