"""The pages of the documentation: their commands, and the files that they show."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from mim_bench.suite.locations import configs_folder

ROOT = configs_folder().parent
PAGES = [
    *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')),
    ROOT / 'checkpoints' / 'README.md',
    *sorted((ROOT / 'docs').glob('*.md')),
]
_FENCED = re.compile(r'^```(\w*)\n(.*?)^```', re.DOTALL | re.MULTILINE)
# A block that is a file says which in its first line.
_NAMED = re.compile(r'# ([\w./-]+\.(?:py|yml))\n')
_ASSIGNMENT = re.compile(r'[A-Z_]+=.*')


def name_of(page: Path) -> str:
    """The page's path in the clone."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language."""
    return [text for kind, text in _FENCED.findall(page.read_text('utf-8')) if kind == language]


def commands(page: Path) -> list[str]:
    """Every line of the ``bash`` blocks."""
    lines = [line for block in blocks(page, 'bash') for line in block.splitlines()]
    return [line for line in lines if line.strip()]


def words_of(line: str) -> list[str]:
    """The words of a command, without the variables that it sets before."""
    words = shlex.split(line)
    while _ASSIGNMENT.fullmatch(words[0]):
        words.pop(0)
    return words


def write_files(page: Path, folder: Path) -> list[Path]:
    """Write the files that a page shows; what is there already gets more at its end."""
    return [_write(folder / name, text) for name, text in named_files(page)]


def named_files(page: Path) -> Iterator[tuple[str, str]]:
    """The files that a page shows: the name in the first line of a block, and the block."""
    for language in ('python', 'yaml'):
        for text in blocks(page, language):
            if found := _NAMED.match(text):
                yield found[1], text


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open('a', encoding='utf-8') as file:
        file.write(text)
    return path
