"""The tables below the results, as pandas frames.

A cell is a text or a number; a text with several lines has its main one first. What stands below a
heading, and so how each format aligns it, is told by :data:`KINDS`. A column ``Link`` holds the
addresses of the column before it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import DASH, Board, Column
from mim_bench.report.notes import NOTES, plural
from mim_bench.report.published import Pair
from mim_bench.report.text import one_line
from mim_bench.results.collection import DamagedFile
from mim_bench.results.outcomes_file import read_outcomes
from mim_bench.results.record import Protocol, RunRecord, metric_name

# Numbers go to the right; codes and chips have a look of their own on the page.
KINDS = {'Verdict': 'chip', 'Tier': 'chip', 'Hash': 'code'} | dict.fromkeys(
    ('Ours', 'Published', 'Difference', 'Checkpoints', 'Runs', 'Rows with both', "Kendall's tau",
     'p', 'A', 'B', 'A - B', '95 % interval'),
    'number',
)  # fmt: skip
# How many pairs of ours and a published number a reader sees; published.csv has all of them.
MOST_PAIRS = 200
# The best rows of a protocol by class; more columns than this are no table that anyone reads.
MOST_CHECKPOINTS = 24


@dataclass(frozen=True)
class Table:
    """A frame with its title; ``is_folded`` ones open on demand.

    ``best`` marks the best of each line; ``places`` are those of the rows that the last columns
    are about.
    """

    title: str
    frame: pd.DataFrame
    note: str = ''
    is_folded: bool = False
    best: np.ndarray | None = None
    places: Sequence[int] = ()


@dataclass(frozen=True)
class Section:
    """A part of the report; ``name`` is its place on the page, and that of its note.

    ``columns`` are the places of those of the board that it shows for every row.
    """

    name: str
    title: str
    tables: Sequence[Table] = ()
    columns: Sequence[int] = ()

    @property
    def note(self) -> str:
        """What to know of it."""
        return NOTES.get(self.name, '')


def _table(title: str, lines: Sequence[Sequence[object]], *headings: str, **options: Any) -> Table:
    return Table(title, pd.DataFrame(lines, columns=list(headings), dtype=object), **options)


def lines_of(*texts: str) -> str:
    """A cell with lines of untrusted text; empty ones are left out."""
    return '\n'.join(filter(None, map(one_line, texts)))


def sections(board: Board, damaged: Sequence[DamagedFile] = ()) -> list[Section]:
    """The sections that every format shows, in their order; empty ones are left out.

    ``damaged`` are further files that a format could not use.
    """
    failed = [(r.run_id, r.task, r.checkpoint.id, r.cause or '', r.error) for r in board.failed]
    left_out = [(file.path, file.reason) for file in (*board.damaged, *damaged)]
    found = [
        Section('folders', 'Merged folders', list(_folder_tables(board))),
        Section('published', 'Published results', list(published_tables(board))),
        Section('totals', 'Cost of each row', columns=board.costs),
        Section('proxy', 'How well the proxy ranks', list(_proxy_tables(board))),
        Section('protocols', 'Protocols', [_protocol_table(board)]),
    ]
    if failed:
        headings = ('Run', 'Task', 'Checkpoint', 'Cause', 'Error')
        table = _table('Failed runs', failed, *headings)
        found.append(Section('failed-runs', 'Failed runs', [table]))
    if left_out:
        table = _table('Files left out', left_out, 'File', 'Reason')
        found.append(Section('damaged-files', 'Damaged files, left out', [table]))
    return [section for section in found if section.tables or section.columns]


def _folder_tables(board: Board) -> Iterator[Table]:
    """What each merged folder brought, and what the check of them found."""
    if not board.folders:
        return
    groups = [board.collection.group(record) for record in board.records]
    lines = [(f, list(board.rows['folder']).count(f), groups.count(f)) for f in board.folders]
    yield _table('Folders', lines, 'Folder', 'Checkpoints', 'Runs')
    notes = board.collection.notes or [('agree', 'Nothing contradicts each other.')]
    yield _table('Check', notes, 'Verdict', 'What')


def published_tables(board: Board) -> Iterator[Table]:
    """Ours beside published numbers, those of other protocols apart."""
    other = [pair for pair in board.pairs if pair.differences]
    alike = [pair for pair in board.pairs if not pair.differences]
    headings = (
        'Checkpoint', 'Metric', 'Ours', 'Published', 'Difference', 'Verdict', 'Published protocol',
        'Published by', 'Source', 'Link',
    )  # fmt: skip
    for pairs, title, is_folded in (
        (alike, 'Our results beside published ones', False),
        (other, f'{plural(len(other), "published number")} of other protocols, not compared', True),
    ):
        if pairs:
            lines = [_pair(board, pair) for pair in pairs[:MOST_PAIRS]]
            more = len(pairs) - MOST_PAIRS
            note = f'{plural(more, "further pair")} in published.csv.' if more > 0 else ''
            yield _table(title, lines, *headings, note=note, is_folded=is_folded)


def _pair(board: Board, pair: Pair) -> tuple[str, ...]:
    row, result, seeds = board.rows.loc[pair.label], pair.result, len(pair.runs)
    return (
        lines_of(pair.label, f'{row["Method"]} · {row["Backbone"]}'),
        board.columns[pair.column].title,
        f'{pair.ours:.2f}{f" (n={seeds})" if seeds > 1 else ""}',
        result.shown_value,
        DASH if pair.difference is None else f'{pair.difference:+.2f}',
        lines_of(pair.verdict, *pair.differences),
        lines_of(result.measured_as, result.note or ''),
        result.published_by,
        lines_of(result.label, result.row),
        result.link,
    )


# Tasks that stand for others even in their full form: probes, and few labels.
_PROBES = {
    'in1k-knn', 'in1k-knn-best-layer', 'in1k-linear', 'in1k-linear-best-layer', 'in1k-attentive',
    'in1k-1pct-ft', 'in1k-10pct-ft', 'ade20k-knn', 'ade20k-logreg', 'ade20k-linear',
    *(task for task in catalogue.TASKS if re.match('imagenet-.*-(knn|linear|attentive)$', task)),
}  # fmt: skip


def _proxy_tables(board: Board) -> Iterator[Table]:
    """How well proxies rank; nothing if no column could stand for a full one."""
    if any(_is_proxy(board.columns[place]) for place in board.contests):
        lines = [
            (*(lines_of(one.title, one.qualifier) for one in pair), f'{len(both):,}', *_tau(both))
            for *pair, both in proxy_pairs(board)
        ]
        headings = ('Proxy', 'Full', 'Rows with both', "Kendall's tau", 'p')
        note = '' if lines else NOTES['no-pairs']
        yield _table('How well the proxy ranks', lines, *headings, note=note)


def proxy_pairs(board: Board) -> Iterator[tuple[Column, Column, np.ndarray]]:
    """Every proxy column with every full column of its data set and kind of metric.

    Probes of the full tier count as proxies of what trains the backbone. With them come the values
    of the rows that hold both, (N, 2), more is better, a mean over seeds as one number; pairs that
    no row holds are left out.
    """
    values = board.values(board.contests)
    for pair in product(board.contests, repeat=2):
        proxy, full = (board.columns[place] for place in pair)
        is_full = full.tier == 'full' and not (proxy.tier == 'full' and full.task in _PROBES)
        if _is_proxy(proxy) and is_full and _family(proxy) == _family(full):
            both = values[list(pair)].dropna().to_numpy()
            if len(both):
                yield proxy, full, both


def _is_proxy(column: Column) -> bool:
    return column.tier == 'proxy' or (column.tier == 'full' and column.task in _PROBES)


def _family(column: Column) -> tuple[str, str]:
    """Data set, which the name of a task begins with, and kind of metric."""
    return re.match('(imagenet-)?[^-]*', column.task)[0], metric_name(column.metric)


def _tau(values: np.ndarray) -> tuple[str, str]:
    """Kendall's tau (b) of pairs (N, 2) and its p-value, or why there is none, as texts.

    Two things are always in some order; of three there are six.
    """
    if len(values) < 3:
        return 'fewer than 3 rows hold both', DASH
    if np.ptp(values, axis=0).min() == 0:
        return 'all values of one side are equal', DASH
    tau, p = stats.kendalltau(*values.T)
    return f'{tau:+.2f}', p_text(p)


def p_text(p: float) -> str:
    """A p-value as short text."""
    return '< 0.001' if p < 0.001 else f'{p:.3f}'


_CLASS_TITLES = {'mIoU': 'IoU', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP'}


def class_tables(board: Board) -> Iterator[Table]:
    """IoU and AP class by class, a table a protocol, of the best rows that kept their outcomes.

    Outcomes that cannot be read are left out here; the board lists them as damaged.
    """
    places = {label: place for place, label in enumerate(board.rows.index)}
    for place, column in enumerate(board.columns):
        if column.part != 'task' or column.metric not in _CLASS_TITLES:
            continue
        cells = board.cells[board.cells['column'] == place].set_index('label')['runs']
        kept = [
            label for label in board.rows.index.intersection(cells.index, sort=False)
            if any(run.artifacts.outcomes for run in cells[label])
        ]  # fmt: skip
        # Runs may name different classes.
        found: dict[tuple[str, ...], dict[str, pd.Series]] = defaultdict(dict)
        for label in kept[:MOST_CHECKPOINTS]:
            if (scores := _mean_by_class(board, cells[label], column.metric)) is not None:
                found[tuple(scores.index)][label] = scores
        note = f'Protocol {column.protocol.name} {column.protocol.hash}.'
        if (more := len(kept) - MOST_CHECKPOINTS) > 0:
            note += f' {plural(more, "further checkpoint")} not shown.'
        for scores in map(pd.DataFrame, found.values()):
            ranked = scores.copy()
            ranked.loc[:, board.rows['is_baseline'][scores.columns].to_numpy()] = np.nan
            # One checkpoint alone is no ranking.
            best = ranked.eq(ranked.max(axis=1), axis=0).mul(ranked.count(axis=1) > 1, axis=0)
            tier = '' if column.tier == 'full' else f' ({column.tier})'
            kind = _CLASS_TITLES[column.metric]
            texts = scores.map('{:.1f}'.format, na_action='ignore').astype(object).fillna(DASH)
            yield Table(
                f'{column.group_title} {kind}: {len(scores)} classes{tier}',
                texts.rename_axis('Class').reset_index(), note, is_folded=True,
                best=best.to_numpy(), places=[places[label] for label in scores],
            )  # fmt: skip


def _mean_by_class(board: Board, runs: Sequence[RunRecord], metric: str) -> pd.Series | None:
    """The mean over the seeds of a row by class, in percent; None where nothing is kept.

    A class that no image is labelled with has an IoU only in the runs that predict it.
    """
    found = []
    for run in runs:
        try:
            path = board.collection.artifact_path(run, run.artifacts.outcomes or '')
            outcomes = read_outcomes(path)
        except (RecordError, OSError):
            continue
        if (scores := outcomes.class_scores().get(metric)) is not None:
            names = outcomes.class_names or [f'class {place}' for place in range(len(scores))]
            found.append(pd.Series(scores, names))
    alike = [scores for scores in found if scores.index.equals(found[0].index)]
    return pd.concat(alike, axis=1).mean(axis=1) if alike else None


def _protocol_table(board: Board) -> Table:
    """The protocols of the columns in their order, then those of pre-training."""
    lines: dict[Protocol, tuple[str, str]] = {}
    for column, places in board.grouped(board.results()):
        if column.protocol is not None:
            names = ', '.join(board.columns[place].short_title for place in places)
            lines.setdefault(column.protocol, (f'{column.group_title}: {names}', column.task))
    for record in board.records:
        if record.is_pretraining:
            title = f'Pre-training by {catalogue.method_title(record.checkpoint.method)}'
            lines.setdefault(record.protocol, (title, record.task))
    texts = [(*names, p.name, p.version, p.hash, p.tier) for p, names in lines.items()]
    return _table('Protocols', texts, 'Columns', 'Task', 'Protocol', 'Version', 'Hash', 'Tier')
