"""The tables below the results: published numbers, proxies, classes, protocols, problems, runs."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import Column, ColumnGroup, Leaderboard, Row
from mim_bench.report.published import (
    AP_TOLERANCE,
    MIOU_TOLERANCE,
    TOP1_TOLERANCE,
    Comparison,
    measured_as,
    pretrained_for,
    published_by,
    published_value,
)
from mim_bench.report.tables import (
    DASH,
    Entry,
    Heading,
    Table,
    cost_table,
    labels_text,
    plural,
    text_table,
)
from mim_bench.results.outcomes import Hits
from mim_bench.results.outcomes_file import read_outcomes
from mim_bench.results.published import PublishedResult
from mim_bench.results.record import Checkpoint, RunRecord
from mim_bench.results.scores import class_scores
from mim_bench.results.store import Collection, DamagedFile

PUBLISHED_NOTE = (
    'Published numbers are of others, read at the place that stands beside them. Ours counts as '
    f'reproduced within {TOP1_TOLERANCE} points of top-1, {MIOU_TOLERANCE} of mIoU or '
    f'{AP_TOLERANCE} of AP (our own choice). Where the protocol differs nothing is compared.'
)
NO_PUBLISHED_PAIRS = (
    'No row of this board has the method, backbone, pre-training epochs and metric of a published '
    'result.'
)
PROXY_NOTE = (
    "Kendall's tau compares the order of the rows that hold both numbers: 1 is the same order, 0 "
    'none, -1 the reverse. p is that of no association. Both numbers are of one data set.'
)
NO_PROXY_PAIRS = 'No row of this board holds a proxy and a full number of one data set.'
PROTOCOL_NOTE = (
    'The hash covers data split, augmentation, schedule, head, input size and metric. Numbers '
    'compare only inside one hash and tier.'
)
CLASS_NOTE = (
    'Computed from what each run did on each image; in percent, the mean over seeds. A dash stands '
    'for a class that does not occur.'
)
# How many pairs of ours and a published number a page shows; its CSV file has all of them.
MOST_PAIRS = 200
# How many runs a page lists; runs.csv has all of them.
MOST_RUNS = 1000
# The best rows of a protocol by class; more columns than this are no table that anyone reads.
MOST_CHECKPOINTS = 24


@dataclass(frozen=True)
class Section:
    """A part of the report with its tables; ``name`` is its place on the page."""

    name: str
    title: str
    tables: Sequence[Table] = ()
    note: str = ''


def text_sections(board: Leaderboard) -> list[Section]:
    """The sections that every format may show, in their order; empty ones are left out."""
    note = PUBLISHED_NOTE if board.published.comparisons else NO_PUBLISHED_PAIRS
    found = [
        Section('folders', 'Merged folders', _folder_tables(board)),
        Section('published', 'Published results', published_tables(board), note),
        Section('totals', 'Cost of each row', [cost_table(board)] if board.costs else []),
        *proxy_section(board),
        Section('protocols', 'Protocols', [_protocol_table(board)], PROTOCOL_NOTE),
        *problem_sections(board, board.damaged),
    ]
    return [section for section in found if section.tables or section.name == 'proxy']


def _folder_tables(board: Leaderboard) -> list[Table]:
    """What each merged folder brought, and what the check of them found."""
    if not board.folders:
        return []
    lines = []
    for name in board.folders:
        rows = [row for row in board.rows if row.group == name]
        lines.append((name, len(rows), sum(len(row.records) for row in rows)))
    headings = ('Folder', Heading('Checkpoints', 'number'), Heading('Runs', 'number'))
    notes = board.collection.notes or [
        ('agree', 'Nothing in these folders contradicts each other.')
    ]
    return [
        text_table('folders-list', 'Folders', headings, lines),
        text_table('folders-check', 'Check', (Heading('Verdict', 'chip'), 'What'), notes),
    ]


_PAIR, _METRIC, _OURS, _THEIRS, _DIFFERENCE, _VERDICT, *_, _SOURCE = _PAIR_HEADINGS = (
    Heading('Checkpoint'), Heading('Metric'), Heading('Ours', 'number'),
    Heading('Published', 'number'), Heading('Difference', 'number'), Heading('Verdict', 'chip'),
    Heading('Published protocol'), Heading('Published by'), Heading('Source'),
)  # fmt: skip
# What a terminal has room for.
SHORT_PAIR = (_PAIR, _OURS, _THEIRS, _DIFFERENCE, _VERDICT, _SOURCE)
_RESULT_HEADINGS = (
    'Method', 'Backbone', 'Pre-training', 'Metric', _THEIRS, 'Protocol as stated', 'Published by',
    'Source',
)  # fmt: skip


def published_tables(board: Leaderboard) -> list[Table]:
    """Ours beside published numbers, those of other protocols apart, then published ones alone."""
    section, found = board.published, []
    if pairs := section.compared:
        found.append(_pair_table('compared', 'Our results beside published ones', pairs))
    if pairs := section.flagged:
        title = f'{plural(len(pairs), "published number")} of other protocols, not compared'
        found.append(_pair_table('flagged', title, pairs, is_folded=True))
    for name, results, title in (
        ('near', section.near, 'published result{} of the methods and backbones of this board'),
        ('further', section.further, 'further published result{}'),
    ):
        if results:
            count = f'{len(results):,} {title.format("" if len(results) == 1 else "s")}'
            lines = map(_result_line, results)
            look = {'is_folded': True, 'is_long': True}
            found.append(text_table(f'published-{name}', count, _RESULT_HEADINGS, lines, **look))
    return found


def _pair_table(name: str, title: str, pairs: Sequence[Comparison], **look: object) -> Table:
    more = len(pairs) - MOST_PAIRS
    note = f'{plural(more, "further pair")} in published.csv.' if more > 0 else ''
    return text_table(
        name, title, _PAIR_HEADINGS, map(_pair_line, pairs[:MOST_PAIRS]), note=note, **look
    )


def _pair_line(pair: Comparison) -> tuple:
    row, theirs, num_runs = pair.row, pair.published, len(pair.cell.runs)
    runs = f' (n={num_runs})' if num_runs > 1 else ''
    return (
        Entry(row.label, small=(f'{row.method} · {row.checkpoint.backbone}',)),
        pair.column.title,
        f'{pair.cell.value:.2f}{runs}',
        published_value(theirs.value),
        DASH if pair.difference is None else f'{pair.difference:+.2f}',
        Entry(pair.verdict, small=pair.differences),
        Entry(measured_as(theirs), small=(theirs.note,) if theirs.note else ()),
        published_by(theirs),
        Entry(theirs.label, link=theirs.link, small=(theirs.row,)),
    )


def _result_line(result: PublishedResult) -> tuple:
    return (
        catalogue.method_title(result.method),
        result.backbone,
        pretrained_for(result) or DASH,
        catalogue.metric_titles(result.task, result.metric)[0],
        f'{published_value(result.value)} {result.protocol.unit}',
        Entry(measured_as(result), small=(result.note,) if result.note else ()),
        published_by(result),
        Entry(result.label, link=result.link, tip=result.row),
    )


# Tasks that stand for others even in their full form: probes, and few labels.
_PROBES = {'in1k-knn', 'in1k-linear', 'in1k-1pct-ft', 'in1k-10pct-ft', 'ade20k-linear'}
_SAME_METRICS = {'knn_top1': 'top1', 'linear_top1': 'top1'}


def proxy_section(board: Leaderboard) -> list[Section]:
    """How well proxies rank; nothing if no column could stand for a full one."""
    if not any(group.tier == 'proxy' or _is_full_probe(group) for group in board.groups):
        return []
    pairs, title = list(proxy_pairs(board)), 'How well the proxy ranks'
    if not pairs:
        return [Section('proxy', title, note=NO_PROXY_PAIRS)]
    lines = []
    for proxy, full, values in pairs:
        names = [Entry(c.title, small=(c.qualifier,) if c.qualifier else ()) for c in (proxy, full)]
        lines.append((*names, f'{len(values):,}', *_kendall(values)))
    numbers = [Heading(text, 'number') for text in ('Rows with both', "Kendall's tau", 'p')]
    table = text_table('proxy-table', title, ('Proxy', 'Full', *numbers), lines)
    return [Section('proxy', title, [table], PROXY_NOTE)]


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
                cells = ([row.cell(column).value for column in pair] for row in board.rows)
                both = [values for values in cells if None not in values]
                if both:
                    yield (*pair, np.array(both) * [column.sign for column in pair])


def _is_full_probe(group: ColumnGroup) -> bool:
    return group.tier == 'full' and group.task in _PROBES


def _family(column: Column) -> tuple[str, str]:
    """Data set, which the name of a task begins with, and kind of metric."""
    return (column.task.partition('-')[0], _SAME_METRICS.get(column.metric, column.metric))


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
    return [Section('per-class', 'Results by class', tables, CLASS_NOTE)] if tables else []


def _class_tables(board: Leaderboard, group: ColumnGroup, column: Column) -> Iterator[Table]:
    """One table; several where runs name different classes."""
    holders = [
        (place, row)
        for place, row in enumerate(board.rows)
        if any(run.artifacts.outcomes for run in row.cell(column).runs)
    ]
    found: dict[tuple[str, ...], list[tuple[int, Row, np.ndarray]]] = defaultdict(list)
    for place, row in holders[:MOST_CHECKPOINTS]:
        names, values = _mean_over_runs(row.cell(column).runs, column.metric, board.collection)
        if names:
            found[names].append((place, row, values))
    protocol = group.protocol
    more = len(holders) - MOST_CHECKPOINTS
    for number, (names, columns) in enumerate(found.items()):
        headings = [Heading(row.label, 'number', row=place) for place, row, _ in columns]
        values = np.stack([values for _, _, values in columns], axis=1)  # (C, rows)
        is_ranked = ~np.isnan(values) & [not row.is_baseline for _, row, _ in columns]
        best = np.where(is_ranked, values, -np.inf).max(axis=1, keepdims=True)
        # One checkpoint alone is no ranking.
        is_best = is_ranked & (values == best) & (is_ranked.sum(axis=1, keepdims=True) > 1)
        lines = [
            [name, *map(_class_entry, values[at], is_best[at])] for at, name in enumerate(names)
        ]
        tier = '' if protocol.tier == 'full' else f' ({protocol.tier})'
        yield text_table(
            f'class-{column.metric}-{protocol.hash}-{number}',
            f'{group.title} {_CLASS_TITLES[column.metric]}: {len(names)} classes{tier}',
            ('Class', *headings), lines, is_folded=True, is_long=True,
            note=f'Protocol {protocol.name} {protocol.hash}.'
            + (f' {plural(more, "further checkpoint")} not shown.' if more > 0 else ''),
        )  # fmt: skip


def _class_entry(value: float, is_best: bool) -> Entry:
    return Entry(DASH if np.isnan(value) else f'{value:.1f}', is_best=bool(is_best))


def _mean_over_runs(
    runs: Sequence[RunRecord], metric: str, collection: Collection
) -> tuple[tuple[str, ...], np.ndarray | None]:
    """Names of the classes and the mean over the seeds of a row, (C,) in percent; or nothing."""
    found: dict[tuple[str, ...], list[np.ndarray]] = defaultdict(list)
    for run in runs:
        try:
            path = collection.artifact_path(run, run.artifacts.outcomes or '')
            status = path.stat()
            names, scores = _scores_of(path, status.st_mtime_ns, status.st_size)
        except (RecordError, OSError):
            # Listed as damaged where the board reads the same file for its intervals.
            continue
        if metric in scores:
            found[names].append(scores[metric])
    if not found:
        return (), None
    names, values = next(iter(found.items()))
    # A class that no image is labelled with has an IoU only in the runs that predict it.
    return names, pd.DataFrame(values).mean().to_numpy()


@lru_cache(maxsize=512)
def _scores_of(
    path: Path, _modified: int, _size: int
) -> tuple[tuple[str, ...], dict[str, np.ndarray]]:
    """Names and scores; kept, since a watched report reads the same files again and again."""
    outcomes = read_outcomes(path)
    if isinstance(outcomes, Hits):
        return (), {}
    scores = class_scores(outcomes)
    num = len(next(iter(scores.values()), ()))
    return outcomes.class_names or tuple(f'class {index}' for index in range(num)), scores


def _protocol_table(board: Leaderboard) -> Table:
    """The protocols of the columns in their order, then those of pre-training."""
    lines = []
    for group in board.groups:
        if group.protocol is not None:
            names = ', '.join(column.short_title for column in group.columns)
            lines.append((f'{group.title}: {names}', group.task, group.protocol))
    first = {}
    for record in board.records:
        if record.is_pretraining:
            first.setdefault(record.protocol, record)
    for protocol, record in first.items():
        method = catalogue.method_title(record.checkpoint.method)
        lines.append((f'Pre-training by {method}', record.task, protocol))
    headings = (
        'Columns', 'Task', 'Protocol', 'Version', Heading('Hash', 'code'), Heading('Tier', 'chip'),
    )  # fmt: skip
    texts = [(names, task, p.name, p.version, p.hash, p.tier) for names, task, p in lines]
    return text_table('protocols-table', 'Protocols', headings, texts)


def problem_sections(board: Leaderboard, damaged: Sequence[DamagedFile]) -> Iterator[Section]:
    """Failed runs, and files that were left out."""
    if board.failed:
        headings = ('Run', 'Task', 'Checkpoint', 'Error')
        lines = [(r.run_id, r.task, r.checkpoint.id, r.error or '') for r in board.failed]
        table = text_table('failed', 'Failed runs', headings, lines)
        yield Section('failed-runs', 'Failed runs', [table])
    if damaged:
        lines = [(file.path, file.reason) for file in damaged]
        table = text_table('damaged', 'Files left out', ('File', 'Reason'), lines)
        yield Section('damaged-files', 'Damaged files, left out', [table])


_COSTS = (
    'wall_s', 'gpu_hours', 'device_hours', 'img_per_s', 'data_wait_share', 'peak_mem_bytes',
    'energy_joules', 'device', 'num_devices',
)  # fmt: skip


def runs_frame(board: Leaderboard, most: int | None = None) -> pd.DataFrame:
    """Every run with what it measured, what it took and where it comes from.

    Pre-training comes first, then tasks by checkpoint. Unknown values are None.
    """

    def rank(record: RunRecord) -> tuple:
        task = catalogue.task_rank(record.task)
        return (not record.is_pretraining, task, record.checkpoint.id, record.run_id)

    groups = {id(record): row.group for row in board.rows for record in row.records}
    lines = [
        {'group': groups.get(id(record), ''), **_run_facts(record)}
        for record in sorted(board.records, key=rank)[:most]
    ]
    return pd.DataFrame(lines, dtype=object)


def checkpoint_facts(checkpoint: Checkpoint) -> dict[str, object]:
    """What CSV files tell of a checkpoint; what is not known is None, labels are empty."""
    names = ('method', 'backbone', 'source', 'pretrain_epochs', 'pretrain_data')
    facts = {name: getattr(checkpoint, name) for name in names}
    facts['labels'] = labels_text(checkpoint)
    facts |= {name: getattr(checkpoint, name) for name in ('params', 'img_size', 'licence')}
    return facts | {'notes': '; '.join(checkpoint.notes)}


def _run_facts(record: RunRecord) -> dict[str, object]:
    checkpoint, protocol, cost = record.checkpoint, record.protocol, record.cost
    return {
        'run': record.run_id,
        'status': record.status,
        'task': record.task,
        'checkpoint': checkpoint.id,
        **checkpoint_facts(checkpoint),
        'checkpoint_sha256': checkpoint.sha256,
        'protocol': protocol.name,
        'protocol_version': protocol.version,
        'protocol_hash': protocol.hash,
        'tier': protocol.tier,
        'seed': record.seed,
        'results': ', '.join(
            f'{name} {m.value:.4g}{f" {m.unit}" if m.unit else ""} ({m.split})'
            for name, m in record.metrics.items()
        ),
        **{name: getattr(cost, name) for name in _COSTS},
        'precision': record.precision,
        'effective_batch': record.batch and record.batch.effective_batch,
        'weights_loaded': record.load and record.load.share,
        'origin': record.origin,
        'started_at': record.started_at,
        'git': record.env['git'],
        'library': record.env['library'],
        'config': record.config.path,
        'config_sha256': record.config.sha256,
        'error': record.error,
    }


def run_section(board: Leaderboard) -> Section:
    """The first :data:`MOST_RUNS` runs with the facts that a reader looks for."""
    shown = {
        'run': 'Run', 'origin': 'Record by', 'checkpoint': 'Checkpoint',
        'checkpoint_sha256': Heading('SHA-256', 'code'), 'task': 'Task',
        'protocol': 'Protocol', 'protocol_hash': Heading('Hash', 'code'),
        'seed': Heading('Seed', 'number'), 'results': 'Results',
        'weights_loaded': Heading('Weights loaded', 'number'),
        'wall_s': Heading('Wall time', 'number'), 'device': 'Device', 'started_at': 'Started',
        'git': 'Git', 'config': 'Config',
    }  # fmt: skip
    lines = []
    for facts in runs_frame(board, MOST_RUNS).to_dict('records'):
        share, wall_s, num = facts['weights_loaded'], facts['wall_s'], facts['num_devices'] or 1
        facts |= {
            'checkpoint_sha256': (facts['checkpoint_sha256'] or DASH)[:8],
            'results': 'failed' if facts['status'] == 'failed' else facts['results'],
            'wall_s': DASH if wall_s is None else timedelta(seconds=round(wall_s)),
            # Cut off, not rounded: 99.96 % is not all of it.
            'weights_loaded': DASH if share is None else f'{int(share * 1000) / 10:g} %',
            'device': f'{num} x {facts["device"]}' if num > 1 else facts['device'],
        }
        lines.append([facts[name] for name in shown])
    title = plural(len(board.records), 'run')
    where = 'The first' if len(board.records) > MOST_RUNS else 'The'
    note = f'{where} {plural(len(lines), "run")}; runs.csv has all of them, with their costs.'
    table = text_table('runs-table', title, list(shown.values()), lines, is_folded=True, note=note)
    text = 'Every number that is not marked as published was measured in one of these runs.'
    return Section('runs', 'Runs', [table], text)


_KNOWN_KEYS = ('device', 'python', 'torch', 'mmengine', 'mmcv', 'library', 'git')
# Where a record was collected from is another fact for each.
_NO_FACTS_OF_A_MACHINE = ('work_dir',)


def environment_section(board: Leaderboard) -> Section:
    """The versions and devices of all runs, the well-known ones first."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in board.records:
        for key, value in {**record.env, 'device': record.cost.device}.items():
            if key not in _NO_FACTS_OF_A_MACHINE:
                counts[key][value] += 1
    lines = []
    for key in [*_KNOWN_KEYS, *sorted(set(counts) - set(_KNOWN_KEYS))]:
        of_all = len(counts[key]) == 1 and counts[key].total() == len(board.records)
        for value, count in sorted(counts[key].items()):
            lines.append((key, value, 'all' if of_all else f'{count:,}'))
    headings = ('Fact', 'Value', Heading('Runs', 'number'))
    table = text_table('environment-table', 'Environment', headings, lines)
    return Section('environment', 'Environment', [table])
