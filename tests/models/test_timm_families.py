"""The table of timm's families: whole, and true."""

import pytest

from mim_bench.shipped import shipped_folder
from mim_bench.testing.timm_families import (
    TASKS,
    UNMEASURED,
    families,
    read_table,
    try_family,
    with_table,
)

DOCUMENT = shipped_folder('configs').parent / 'docs' / 'timm.md'


def document() -> str:
    if not DOCUMENT.is_file():
        pytest.skip('an installed package has no docs')
    return DOCUMENT.read_text('utf-8')


def test_table_has_every_family_of_timm_and_is_as_the_tool_writes_it():
    text = document()
    every = families()
    assert list(read_table(text)) == [family.module for family in every]
    assert with_table(text, every, read_table(text)) == text


@pytest.mark.slow
@pytest.mark.parametrize('family', families(), ids=lambda family: family.module)
def test_family_does_what_the_table_says(family, tmp_path):
    said = read_table(document())[family.module]
    if UNMEASURED in said.values():
        said = dict.fromkeys(TASKS, 'yes')
    found = try_family(family, tmp_path)
    assert {t: v == 'yes' for t, v in found.items()} == {t: v == 'yes' for t, v in said.items()}
