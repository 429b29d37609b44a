"""The tables below the results, as pandas frames, and the sentences around all of them.

A cell is a text or a number; a text with several lines has its main one first. What stands below a
heading, and so how each format aligns it, is told by :data:`KINDS`. A column ``Link`` holds the
addresses of the column before it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy import stats

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import DASH, Column, ColumnGroup, Leaderboard, Row, row_names
from mim_bench.report.published import (
    AP_TOLERANCE,
    MIOU_TOLERANCE,
    TOP1_TOLERANCE,
    Comparison,
    metric_name,
)
from mim_bench.report.text import one_line
from mim_bench.results.outcomes_file import read_outcomes
from mim_bench.results.record import RunRecord
from mim_bench.results.scores import class_scores
from mim_bench.results.statistics import ALPHA
from mim_bench.results.store import DamagedFile

# Numbers go to the right; codes and chips have a look of their own on the page.
KINDS = {'Verdict': 'chip', 'Tier': 'chip', 'Hash': 'code', 'SHA-256': 'code'} | dict.fromkeys(
    ('Ours', 'Published', 'Difference', 'Checkpoints', 'Runs', 'Rows with both', "Kendall's tau",
     'p', 'Seed', 'Devices', 'Weights loaded', 'Wall time', 'A', 'B', 'A - B', '95 % interval'),
    'number',
)  # fmt: skip
NOTES = yaml.safe_load((Path(__file__).parent / 'templates' / 'notes.yml').read_text('utf-8'))
NOTES['tied'] = NOTES['tied'].format(alpha=ALPHA)
NOTES['published'] = NOTES['published'].format(
    top1=TOP1_TOLERANCE, miou=MIOU_TOLERANCE, ap=AP_TOLERANCE
)
# How many pairs of ours and a published number a page shows; published.csv has all of them.
MOST_PAIRS = 200
# How many runs a page lists; runs.csv has all of them.
MOST_RUNS = 1000
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
    """A part of the report; ``name`` is its place on the page.

    ``columns`` are those of the board that it shows for every row, by group.
    """

    name: str
    title: str
    tables: Sequence[Table] = ()
    note: str = ''
    columns: Sequence[tuple[ColumnGroup, list[Column]]] = ()


def _frame(lines: Sequence[Sequence[object]], *headings: str) -> pd.DataFrame:
    return pd.DataFrame(list(lines), columns=list(headings), dtype=object)


def lines_of(*texts: str) -> str:
    """A cell with lines of untrusted text; empty ones are left out."""
    return '\n'.join(filter(None, map(one_line, texts)))


def sections(board: Leaderboard) -> list[Section]:
    """The sections that every format may show, in their order; empty ones are left out."""
    costs = [(group, group.columns) for group in board.costs]
    found = [
        Section('folders', 'Merged folders', list(_folder_tables(board))),
        Section(
            'published', 'Published results', list(published_tables(board)), NOTES['published']
        ),
        Section('totals', 'Cost of each row', note=NOTES['cost'], columns=costs),
        Section('proxy', 'How well the proxy ranks', list(_proxy_tables(board)), NOTES['proxy']),
        Section('protocols', 'Protocols', [_protocol_table(board)], NOTES['protocols']),
        *problem_sections(board, board.damaged),
    ]
    return [section for section in found if section.tables or section.columns]


def _folder_tables(board: Leaderboard) -> Iterator[Table]:
    """What each merged folder brought, and what the check of them found."""
    if not board.folders:
        return
    rows = pd.DataFrame([(row.group, 1, len(row.records)) for row in board.rows])
    rows.columns = ['Folder', 'Checkpoints', 'Runs']
    yield Table('Folders', rows.groupby('Folder', as_index=False).sum())
    notes = board.collection.notes or [('agree', 'Nothing contradicts each other.')]
    yield Table('Check', _frame(notes, 'Verdict', 'What'))


def published_tables(board: Leaderboard) -> Iterator[Table]:
    """Ours beside published numbers, those of other protocols apart."""
    for title, is_compared in (
        ('Our results beside published ones', True),
        ('{} of other protocols, not compared', False),
    ):
        if pairs := board.published.pairs(compared=is_compared):
            more = len(pairs) - MOST_PAIRS
            yield Table(
                title.format(plural(len(pairs), 'published number')),
                pair_frame(pairs[:MOST_PAIRS]),
                note=f'{plural(more, "further pair")} in published.csv.' if more > 0 else '',
                is_folded=not is_compared,
            )


def pair_frame(pairs: Sequence[Comparison]) -> pd.DataFrame:
    """Ours beside published numbers."""
    return pd.DataFrame(
        {
            'Checkpoint': lines_of(
                pair.row.label, f'{pair.row.method} · {pair.row.checkpoint.backbone}'
            ),
            'Metric': pair.column.title,
            'Ours': f'{pair.cell.value:.2f}'
            + (f' (n={len(pair.cell.runs)})' if len(pair.cell.runs) > 1 else ''),
            'Published': pair.published.shown_value,
            'Difference': DASH if pair.difference is None else f'{pair.difference:+.2f}',
            'Verdict': lines_of(pair.verdict, *pair.differences),
            'Published protocol': lines_of(pair.published.measured_as, pair.published.note or ''),
            'Published by': pair.published.published_by,
            'Source': lines_of(pair.published.label, pair.published.row),
            'Link': pair.published.link,
        }
        for pair in pairs
    )


# Tasks that stand for others even in their full form: probes, and few labels.
_PROBES = {
    'in1k-knn', 'in1k-knn-best-layer', 'in1k-linear', 'in1k-linear-best-layer', 'in1k-attentive',
    'in1k-1pct-ft', 'in1k-10pct-ft', 'ade20k-knn', 'ade20k-logreg', 'ade20k-linear',
}  # fmt: skip


def _proxy_tables(board: Leaderboard) -> Iterator[Table]:
    """How well proxies rank; nothing if no column could stand for a full one."""
    if not any(group.tier == 'proxy' or _is_full_probe(group) for group in board.groups):
        return
    lines = []
    for proxy, full, values in proxy_pairs(board):
        names = [lines_of(column.title, column.qualifier) for column in (proxy, full)]
        lines.append((*names, f'{len(values):,}', *_kendall(values)))
    note = '' if lines else NOTES['no-pairs']
    frame = _frame(lines, 'Proxy', 'Full', 'Rows with both', "Kendall's tau", 'p')
    yield Table('How well the proxy ranks', frame, note)


def proxy_pairs(board: Leaderboard) -> Iterator[tuple[Column, Column, np.ndarray]]:
    """Every proxy column with every full column of its data set and kind of metric.

    Probes of the full tier count as proxies of what trains the backbone. With them come the values
    of the rows that hold both, (N, 2), more is better, a mean over seeds as one number; pairs that
    no row holds are left out.
    """
    for group, other in product(board.groups, repeat=2):
        is_probe = _is_full_probe(group) and not _is_full_probe(other)
        if other.tier != 'full' or not (group.tier == 'proxy' or is_probe):
            continue
        for pair in product(*([c for c in g.columns if c.is_contest] for g in (group, other))):
            if len(set(map(_family, pair))) == 1:
                values = [[column.value(row) for column in pair] for row in board.rows]
                both = pd.DataFrame(values).dropna().to_numpy(float)
                if len(both):
                    yield (*pair, both * [column.sign for column in pair])


def _is_full_probe(group: ColumnGroup) -> bool:
    return group.tier == 'full' and group.task in _PROBES


def _family(column: Column) -> tuple[str, str]:
    """Data set, which the name of a task begins with, and kind of metric."""
    return (column.task.partition('-')[0], metric_name(column.metric))


def _kendall(values: np.ndarray) -> tuple[str, str]:
    """Kendall's tau (b) of pairs (N, 2) and its p-value, or why there is none, as texts.

    Two things are always in some order; of three there are six.
    """
    if len(values) < 3:
        return 'fewer than 3 rows hold both', DASH
    if np.ptp(values, axis=0).min() == 0:
        return 'all values of one side are equal', DASH
    tau, p = stats.kendalltau(*values.T)
    return f'{tau:+.2f}', '< 0.001' if p < 0.001 else f'{p:.3f}'


_CLASS_TITLES = {'mIoU': 'IoU', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP'}


def class_section(board: Leaderboard) -> list[Section]:
    """IoU and AP class by class, a table a protocol, of runs that kept their outcomes.

    Outcomes that cannot be read are left out here; the board lists them as damaged.
    """
    tables = [
        table
        for group in board.groups
        for column in group.columns
        if column.metric in _CLASS_TITLES and group.protocol is not None
        for table in _class_tables(board, group, column)
    ]
    return [Section('per-class', 'Results by class', tables, NOTES['classes'])] if tables else []


def _class_tables(board: Leaderboard, group: ColumnGroup, column: Column) -> Iterator[Table]:
    """One table; several where runs name different classes."""
    holders = [
        (place, row)
        for place, row in enumerate(board.rows)
        if any(run.artifacts.outcomes for run in row.cell(column).runs)
    ]
    found: dict[tuple[str, ...], dict[int, pd.Series]] = defaultdict(dict)
    for place, row in holders[:MOST_CHECKPOINTS]:
        if (scores := _mean_over_runs(board, row, column)) is not None:
            found[tuple(scores.index)][place] = scores
    protocol, more = group.protocol, len(holders) - MOST_CHECKPOINTS
    tier = '' if protocol.tier == 'full' else f' ({protocol.tier})'
    note = f'Protocol {protocol.name} {protocol.hash}.'
    note += f' {plural(more, "further checkpoint")} not shown.' if more > 0 else ''
    for names, scores in found.items():
        values = np.stack([one.to_numpy() for one in scores.values()], axis=1)  # (C, rows)
        is_ranked = ~np.isnan(values) & [not board.rows[place].is_baseline for place in scores]
        best = np.where(is_ranked, values, -np.inf).max(axis=1, keepdims=True)
        # One checkpoint alone is no ranking.
        is_best = is_ranked & (values == best) & (is_ranked.sum(axis=1, keepdims=True) > 1)
        lines = [
            (name, *(DASH if np.isnan(value) else f'{value:.1f}' for value in line))
            for name, line in zip(names, values, strict=True)
        ]
        yield Table(
            f'{group.title} {_CLASS_TITLES[column.metric]}: {len(names)} classes{tier}',
            _frame(lines, 'Class', *(board.rows[place].label for place in scores)),
            note, is_folded=True, best=is_best, places=list(scores),
        )  # fmt: skip


def _mean_over_runs(board: Leaderboard, row: Row, column: Column) -> pd.Series | None:
    """The mean over the seeds of a row by class, in percent; None where nothing is kept.

    A class that no image is labelled with has an IoU only in the runs that predict it.
    """
    found = []
    for run in row.cell(column).runs:
        try:
            path = board.collection.artifact_path(run, run.artifacts.outcomes or '')
            outcomes = read_outcomes(path)
        except (RecordError, OSError):
            continue
        scores = class_scores(outcomes).get(column.metric)
        if scores is not None:
            names = outcomes.class_names or [f'class {place}' for place in range(len(scores))]
            found.append(pd.Series(scores, names))
    if not found:
        return None
    alike = [series.to_numpy() for series in found if list(series.index) == list(found[0].index)]
    return pd.Series(pd.DataFrame(alike).mean().to_numpy(), found[0].index)


def _protocol_table(board: Leaderboard) -> Table:
    """The protocols of the columns in their order, then those of pre-training."""
    lines = []
    for group in board.groups:
        if group.protocol is not None:
            names = ', '.join(column.short_title for column in group.columns)
            lines.append((f'{group.title}: {names}', group.task, group.protocol))
    for record in board.records:
        if record.is_pretraining:
            method = catalogue.method_title(record.checkpoint.method)
            lines.append((f'Pre-training by {method}', record.task, record.protocol))
    texts = [(names, task, p.name, p.version, p.hash, p.tier) for names, task, p in lines]
    frame = _frame(texts, 'Columns', 'Task', 'Protocol', 'Version', 'Hash', 'Tier')
    return Table('Protocols', frame.drop_duplicates(['Protocol', 'Version', 'Hash', 'Tier']))


def problem_sections(board: Leaderboard, damaged: Sequence[DamagedFile]) -> Iterator[Section]:
    """Failed runs, and files that were left out."""
    if board.failed:
        lines = [
            (r.run_id, r.task, r.checkpoint.id, r.cause or '', r.error or '') for r in board.failed
        ]
        frame = _frame(lines, 'Run', 'Task', 'Checkpoint', 'Cause', 'Error')
        yield Section('failed-runs', 'Failed runs', [Table('Failed runs', frame)])
    if damaged:
        frame = _frame([(file.path, file.reason) for file in damaged], 'File', 'Reason')
        yield Section('damaged-files', 'Damaged files, left out', [Table('Files left out', frame)])


def run_lines(board: Leaderboard, most: int | None = None) -> list[dict[str, object]]:
    """Every run with what it measured, what it took and where it comes from; the fields of records.

    Pre-training comes first, then tasks by checkpoint. Unknown values are None.
    """

    def rank(record: RunRecord) -> tuple:
        task = catalogue.task_rank(record.task)
        return (not record.is_pretraining, task, record.checkpoint.id, record.run_id)

    records = sorted(board.records, key=rank)[:most]
    return [
        {
            'group': board.collection.group(record),
            **flat(record, 'metrics', 'load', 'artifacts', 'batch', 'schema_version'),
            'results': ', '.join(_results(record)),
            'weights_loaded': record.load and record.load.share,
            'effective_batch': record.batch and record.batch.effective_batch,
        }
        for record in records
    ]


def flat(data: object, *left_out: str) -> dict[str, object]:
    """The fields of a record and of its parts by their joined names; lists become texts."""
    line = {}
    for name, value in vars(data).items():
        parts = value if isinstance(value, dict) else getattr(value, '__dict__', None)
        if name in left_out:
            continue
        if parts is not None:
            line |= {f'{name}_{key}': part for key, part in parts.items()}
        else:
            line[name] = value
    texts = {name: v for name, v in line.items() if isinstance(v, list | dict)}
    return line | {name: '+'.join(map(str, v)) or 'none' for name, v in texts.items()}


def _results(record: RunRecord) -> Iterator[str]:
    for name, m in record.metrics.items():
        yield f'{name} {m.value:.4g}{f" {m.unit}" if m.unit else ""} ({m.split})'


_SHOWN_OF_RUNS = {
    'run_id': 'Run', 'origin': 'Record by', 'checkpoint_id': 'Checkpoint',
    'checkpoint_sha256': 'SHA-256', 'task': 'Task', 'protocol_name': 'Protocol',
    'protocol_hash': 'Hash', 'seed': 'Seed', 'results': 'Results',
    'weights_loaded': 'Weights loaded', 'cost_wall_s': 'Wall time', 'cost_device': 'Device',
    'cost_num_devices': 'Devices', 'started_at': 'Started', 'env_git': 'Git',
    'config_path': 'Config',
}  # fmt: skip


def run_section(board: Leaderboard) -> Section:
    """The first :data:`MOST_RUNS` runs with the facts that a reader looks for."""
    runs = pd.DataFrame(run_lines(board, MOST_RUNS), dtype=object)
    runs['results'] = runs['results'].where(runs['status'] == 'done', 'failed')
    for name, show in {
        'checkpoint_sha256': lambda digest: digest[:8],
        # Cut off, not rounded: 99.96 % is not all of it.
        'weights_loaded': lambda share: f'{int(share * 1000) / 10:g} %',
        'cost_wall_s': lambda seconds: str(timedelta(seconds=round(seconds))),
    }.items():
        runs[name] = runs[name].map(show, na_action='ignore')
    frame = runs[list(_SHOWN_OF_RUNS)].rename(columns=_SHOWN_OF_RUNS)
    frame = frame.astype(object).where(frame.notna(), DASH)
    where = 'The first' if len(board.records) > MOST_RUNS else 'The'
    note = f'{where} {plural(len(frame), "run")}; runs.csv has all of them, with their costs.'
    table = Table(plural(len(board.records), 'run'), frame, note, is_folded=True)
    return Section('runs', 'Runs', [table], NOTES['runs'])


def environment_section(board: Leaderboard) -> Section:
    """The versions and devices of all runs."""
    # Where a record was collected from is another fact for each.
    facts = pd.DataFrame([{'device': r.cost.device} | r.env for r in board.records])
    facts = facts.drop(columns='work_dir', errors='ignore')
    facts = facts.melt(var_name='Fact', value_name='Value')
    counts = facts.groupby(['Fact', 'Value'], sort=False).size().reset_index(name='Runs')
    return Section('environment', 'Environment', [Table('Environment', counts)])


def reading_note(board: Leaderboard, *, with_intervals: bool = True) -> str:
    """How the board is sorted, and what the marks of spread, ties and labels on it mean."""
    notes = [NOTES['reading']]
    if board.shared:
        names = ', '.join(column.title for column in board.shared)
        count = plural(sum(row.rank is not None for row in board.rows), 'checkpoint')
        notes.append(NOTES['order'].format(count=count, names=names))
    cells = [cell for row in board.rows for cell in row.cells.values()]
    used = {
        'sd': any(cell.sd is not None for cell in cells),
        'interval': with_intervals and any(cell.interval is not None for cell in cells),
        'tied': any(cell.is_tied for cell in cells),
        'labels': any(cell.saw_labels for cell in cells),
        'unknown': any(cell.saw_labels is None for cell in cells),
    }
    return ' '.join([*notes, *(NOTES[name] for name, is_used in used.items() if is_used)])


def conclusion(board: Leaderboard) -> str:
    """One sentence on what the board allows to conclude."""
    ranked = [row for row in board.rows if row.rank is not None]
    if not ranked:
        return NOTES['nothing']
    best = [row for row in ranked if row.rank == ranked[0].rank]
    cells = [best[0].cell(column) for column in board.shared]
    tier = next(group.tier for group in board.groups if board.shared[0] in group.columns)
    names = row_names(board.rows)
    return NOTES['leads' if len(best) == 1 else 'shared'].format(
        names=', '.join(names[row.label] for row in best),
        rank=ranked[0].rank,
        count=plural(len(ranked), 'checkpoint'),
        columns=plural(len(cells), 'column'),
        top=sum(cell.is_best or bool(cell.is_tied) for cell in cells),
        alone=sum(cell.is_best and cell.is_tied is False for cell in cells) or 'none',
        reach=NOTES[f'reach-{tier}'],
    )


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 run``, ``2 runs``."""
    return f'{count:,} {noun}' if count == 1 else f'{count:,} {noun}s'


def summary_line(board: Leaderboard) -> str:
    """How much there is and when it was measured, in one line."""
    parts = [plural(len(board.rows), 'checkpoint'), plural(len(board.records), 'run')]
    if board.failed:
        parts.append(f'{len(board.failed):,} failed')
    if board.damaged:
        parts.append(f'{plural(len(board.damaged), "damaged record")} left out')
    if board.folders:
        parts.append(f'merged from {", ".join(board.folders)}')
    days = sorted(record.started_at[:10] for record in board.records)
    if days:
        parts.append(days[0] if days[0] == days[-1] else f'{days[0]} to {days[-1]}')
    return ' · '.join(parts)
