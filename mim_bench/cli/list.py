"""List methods, backbones, tasks, checkpoint formats, published numbers or fields of files.

Examples:
  mim-bench list tasks
  mim-bench list published --method ummae
  mim-bench list methods --json
  mim-bench list fields record
"""

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import mim_bench
from mim_bench.cli._console import wide_console
from mim_bench.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class _Listing:
    """A listing: plain data for JSON, and tables."""

    data: Any
    tables: list['_Table']


@dataclass(frozen=True)
class _Table:
    """A table: headings and rows of texts."""

    title: str
    headings: tuple[str, ...]
    rows: list[tuple] = field(default_factory=list)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be listed."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='WHAT')
    for name, (_, text) in _KINDS.items():
        kind = kinds.add_parser(
            name, help=text, description=text, epilog=f'Example: mim-bench list {name}'
        )
        kind.add_argument('--json', action='store_true', help='Print JSON instead of a table.')
        if name == 'published':
            kind.add_argument(
                '--method', help='List this method only, for example mae (default: all).'
            )
        if name == 'fields':
            kind.epilog = 'Example: mim-bench list fields record'
            kind.add_argument('file', choices=_FILES, help='List the fields of this kind of file.')
            kind.add_argument(
                '--markdown', action='store_true', help='Print Markdown instead of a table.'
            )


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    listing = _KINDS[args.kind][0](args)
    if args.json:
        print(json.dumps(listing.data, indent=2, ensure_ascii=False))
        return 0
    if getattr(args, 'markdown', False):
        print('\n\n'.join(map(_markdown, listing.tables)))
        return 0
    _print_tables(listing.tables)
    return 0


def _print_tables(tables: Sequence[_Table]) -> None:
    from rich.markup import escape
    from rich.table import Table

    console = wide_console(highlight=False)
    for listed in tables:
        table = Table(title=escape(listed.title), title_justify='left')
        for heading in listed.headings:
            table.add_column(heading, overflow='fold')
        for row in listed.rows:
            table.add_row(*(escape(str('-' if cell in (None, '') else cell)) for cell in row))
        console.print(table)


def _methods(_: argparse.Namespace) -> _Listing:
    from mim_bench.report.catalogue import method_title
    from mim_bench.suite.config_index import index_configs

    own = Path(mim_bench.__file__).parent / 'models' / 'methods'
    found: dict[str, list] = {}
    for entry in index_configs():
        if entry.method is not None and entry.tier == 'full':
            found.setdefault(entry.method, []).append(entry)
    data = [
        {
            'method': method,
            'title': method_title(method),
            'model': 'mim_bench' if (own / f'{method}.py').is_file() else 'mmpretrain',
            'backbones': sorted({entry.backbone for entry in entries}),
            'epochs': sorted({entry.epochs for entry in entries if entry.epochs}),
            'configs': [entry.path for entry in entries],
        }
        for method, entries in sorted(found.items())
    ]
    rows = [
        (m['method'], m['title'], m['model'], ', '.join(m['backbones']),
         ', '.join(map(str, m['epochs'])), len(m['configs']))
        for m in data
    ]  # fmt: skip
    headings = ('method', 'title', 'model of', 'backbones', 'epochs', 'configs')
    return _Listing(data, [_Table('Pre-training: configs/pretrain', headings, rows)])


def _backbones(_: argparse.Namespace) -> _Listing:
    from mim_bench.models.backbone_index import index_backbones

    data = [asdict(entry) for entry in index_backbones()]
    rows = []
    for entry in data:
        archs = [*entry['archs'], *([f'those of {entry["also"]}'] if entry['also'] else [])]
        rows.append((entry['name'], entry['use'], ', '.join(archs), entry['summary']))
    return _Listing(data, [_Table('Backbones', ('class', 'use', 'arch', 'what it is'), rows)])


def _tasks(_: argparse.Namespace) -> _Listing:
    from mim_bench.report.catalogue import TIER_ORDER, task_rank, task_title
    from mim_bench.suite.config_index import index_configs
    from mim_bench.suite.tasks import SUITES, load_suite

    found: dict[tuple, list] = {}
    for entry in index_configs():
        if entry.method is None:
            key = (entry.task, entry.protocol, entry.version, entry.tier)
            found.setdefault(key, []).append(entry)
    runs: dict[tuple, list[str]] = {}
    for suite in map(load_suite, SUITES):
        for entry in suite.entries:
            protocol, version = entry.protocol, entry.version
            if entry.variant is not None:
                # Robustness tests use the configs of the training or the probe that they test.
                start = next(e for e in suite.entries if entry.start in e.tasks)
                same = (entry.start, start.protocol, start.version)
                tier, tested = next((key[3], found[key]) for key in found if key[:3] == same)
                protocol, version = f'{start.protocol}-{entry.variant}', start.version
                found |= {(task, protocol, version, tier): tested for task in entry.tasks}
            for task in entry.tasks:
                names = runs.setdefault((task, protocol, version), [])
                names += [suite.name] if suite.name not in names else []
    ordered = sorted(found, key=lambda k: (task_rank(k[0]), TIER_ORDER.index(k[3]), k[1:]))
    data = [
        {
            'task': task,
            'title': task_title(task),
            'protocol': protocol,
            'version': version,
            'suites': runs.get((task, protocol, version), []),
            'backbones': sorted({entry.backbone for entry in found[key]}),
            'configs': [entry.path for entry in found[key]],
        }
        for key in ordered
        for task, protocol, version, _ in [key]
    ]
    rows = [
        (t['task'], t['protocol'], t['version'], ', '.join(t['suites']), ', '.join(t['backbones']))
        for t in data
    ]
    headings = ('task', 'protocol', 'version', 'suites', 'backbones')
    return _Listing(data, [_Table('Tasks', headings, rows)])


def _sources(_: argparse.Namespace) -> _Listing:
    from mim_bench.conversion.sources import SOURCES

    data = [
        {
            'source': source.name,
            'method': 'by the weights' if callable(source.method) else source.method,
            'licence': source.licence,
            'merge_orders': list(source.merge_orders),
        }
        for source in SOURCES.values()
    ]
    rows = [
        (s['source'], s['method'], s['licence'], ', '.join(s['merge_orders'])) for s in data
    ]  # fmt: skip
    headings = ('--source', 'method', 'licence of official weights', '--merge-order')
    return _Listing(data, [_Table('What mim-bench convert reads', headings, rows)])


def _published(args: argparse.Namespace) -> _Listing:
    from mim_bench.published.numbers import load_published

    results = load_published()
    known = sorted({result.method for result in results})
    if args.method is not None and args.method not in known:
        raise ConfigError(
            f'Nothing is published here of method {args.method!r}.'
            f'{did_you_mean(args.method, known)} Known: {", ".join(known)}.'
        )
    picked = [r for r in results if args.method in (None, r.method)]
    rows = [
        (r.method, r.backbone, r.pretrained_for, r.task, r.metric,
         f'{r.shown_value} {r.protocol.unit}', r.protocol.ours or r.measured_as,
         r.published_by, r.label)
        for r in picked
    ]  # fmt: skip
    headings = (
        'method', 'backbone', 'pre-training', 'task', 'metric', 'value', 'protocol', 'by', 'source',
    )  # fmt: skip
    data = {'results': [r.model_dump(exclude_none=True) | {'link': r.link} for r in picked]}
    return _Listing(data, [_Table('Published by others', headings, rows)])


# Kinds of files that this project defines -> module and model of each.
_FILES = {
    'record': ('mim_bench.results.record', 'RunRecord'),
    'curves': ('mim_bench.results.record', 'Curve'),
    'suite': ('mim_bench.suite.tasks', 'SuiteFile'),
    'manifest': ('mim_bench.conversion.manifest', 'Release'),
    'published': ('mim_bench.published.numbers', 'SourceFile'),
}
_LISTS = ('curves', 'manifest')


def _fields(args: argparse.Namespace) -> _Listing:
    from mim_bench.files.validation import adapter, field_tables

    module, name = _FILES[args.file]
    model = getattr(import_module(module), name)
    headings = ('field', 'type', 'meaning')
    tables = [
        _Table(f'{title}: {text}', headings, rows)
        for title, (text, rows) in field_tables(model).items()
    ]
    kind = list[model] if args.file in _LISTS else model
    return _Listing(adapter(kind).json_schema(mode='serialization'), tables)


def _markdown(table: _Table) -> str:
    """A table as Markdown below its title; names of other tables are links."""
    title, _, text = table.title.partition(': ')
    lines = [f'### {title}', '', text, '', f'| {" | ".join(table.headings)} |', '| --- ' * 3 + '|']
    for name, kind, meaning in table.rows:
        kind = re.sub(r'\b([A-Z]\w+)', lambda m: f'[{m[1]}](#{m[1].lower()})', kind)
        lines.append(f'| `{name}` | {kind} | {meaning} |')
    return '\n'.join(lines)


_KINDS: dict[str, tuple[Callable[[argparse.Namespace], _Listing], str]] = {
    'methods': (_methods, 'List the pre-training methods that have a config.'),
    'backbones': (_backbones, 'List the backbones and their sizes.'),
    'tasks': (_tasks, 'List the downstream tasks, their protocols and configs.'),
    'sources': (_sources, 'List the checkpoint formats that mim-bench convert reads.'),
    'published': (_published, 'List the numbers that others published, with their sources.'),
    'fields': (_fields, 'List the fields of a kind of file, or print its JSON Schema with --json.'),
}
