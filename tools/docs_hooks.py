"""Pages of the site that are made at build time; a hook of MkDocs, see `mkdocs.yml`.

The command reference is the ``--help`` of every command, the config reference the README.md of
every config folder, and the fields of files come from their models. README.md, CONTRIBUTING.md
and CHANGELOG.md become pages as well. Links are written for readers of the repository: the hook
turns them into links of the site, and links to files that the site lacks into plain text.
"""

import argparse
import contextlib
import io
import os
import posixpath
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from mim_bench.cli.main import build_parser, main
from mim_bench.published.numbers import load_published

ROOT = Path(__file__).parents[1]
PAGES = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    'checkpoints/README.md': 'released-weights.md',
}
FILES = ('record', 'curves', 'suite', 'manifest', 'published')
LINK = re.compile(r'(!?)\[([^\]]*)\]\((?!\w+:)([^)\s#]+)(#[^)\s]*)?\)')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that docs/ does not hold."""
    made = {page: site_text(ROOT / source) for source, page in PAGES.items()}
    made |= {'commands.md': commands_page(), 'configs.md': configs_page()}
    made |= {f'{file}-fields.md': fields_page(file) for file in FILES}
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Adapt the links of a page of docs/; add the sources to that of the published numbers."""
    if page.file.generated_by:
        return markdown
    if page.file.src_uri == 'published.md':
        markdown += published_table()
    return site_links(markdown, 'docs')


def site_text(path: Path) -> str:
    """A Markdown file of the repository with the links of the site."""
    return site_links(path.read_text('utf-8'), path.relative_to(ROOT).parent.as_posix())


def site_links(text: str, folder: str) -> str:
    """Replace links of a file in ``folder`` by links of the site, or by their text."""

    def replace(match: re.Match) -> str:
        mark, label, target, anchor = match.groups(default='')
        path = posixpath.normpath(posixpath.join(folder, target))
        if path in PAGES:
            path = PAGES[path]
        elif path.startswith('configs/') and path.endswith('/README.md'):
            path = 'configs.md'
        elif path.startswith('docs/'):
            path = path.removeprefix('docs/')
        else:
            return label
        return f'{mark}[{label}]({path}{anchor})'

    return LINK.sub(replace, text)


def commands_page() -> str:
    """The help of every command, in the order of their names."""
    os.environ['COLUMNS'] = '100'  # argparse wraps to the terminal
    parts = ['# Commands\n\nThe output of `--help`. Exit status: 0 done, 1 failed, 2 wrong usage.']
    parts += [f'## {p.prog}\n\n```text\n{p.format_help()}```' for p in commands(build_parser())]
    return '\n\n'.join(parts)


def commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parsers below a parser, depth first."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield child
                yield from commands(child)


def fields_page(file: str) -> str:
    """The fields of a kind of file, from its model."""
    with contextlib.redirect_stdout(io.StringIO()) as fields:
        main(['list', 'fields', file, '--markdown'])
    return f'# Fields: {file}\n\n{fields.getvalue()}'


def published_table() -> str:
    """The repositories of published numbers, with the count of each."""
    counts = Counter(result.repository or 'abstract of a paper' for result in load_published())
    rows = (f'| {name} | {n} |\n' for name, n in sorted(counts.items()))
    return f'\n## Sources\n\n| repository | numbers |\n| --- | ---: |\n{"".join(rows)}'


def configs_page() -> str:
    """The README.md of every config folder, its headings one level lower."""
    parts = ['# Configs\n\n[Protocols and recipes](protocols.md) explains what they share.']
    for path in sorted((ROOT / 'configs').rglob('README.md')):
        parts.append(re.sub(r'^#', '##', site_text(path), flags=re.MULTILINE))
    return '\n\n'.join(parts)
