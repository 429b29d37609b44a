"""The tables below the results: published numbers, proxies, classes, protocols, problems, runs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

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
from mim_bench.results.statistics.rank_correlation import RankCorrelation, rank_correlation
from mim_bench.results.statistics.scores import class_scores
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
_CLASS_TITLES = {'mIoU': 'IoU', 'bbox_mAP': 'box AP', 'segm_mAP': 'mask AP'}
# Tasks that stand for others even in their full form: probes, and few labels.
_PROBES = {'in1k-knn', 'in1k-linear', 'in1k-1pct-ft', 'in1k-10pct-ft', 'ade20k-linear'}
_SAME_METRICS = {'knn_top1': 'top1', 'linear_top1': 'top1'}
# Where a record was collected from is another fact for each.
_NO_FACTS_OF_A_MACHINE = ('work_dir',)
_COSTS = (
    'wall_s', 'gpu_hours', 'device_hours', 'img_per_s', 'data_wait_share', 'peak_mem_bytes',
    'energy_joules', 'device', 'num_devices',
)  # fmt: skip
_KNOWN_KEYS = ('python', 'torch', 'mmengine', 'mmcv', 'library', 'git')


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
        Section('folders', 'Merged folders', folder_tables(board)),
        Section('published', 'Published results', published_tables(board), note),
        Section('totals', 'Cost of each row', [cost_table(board)] if board.costs else []),
        *proxy_section(board),
        Section('protocols', 'Protocols', [protocol_table(board)], PROTOCOL_NOTE),
        *problem_sections(board, board.damaged),
    ]
    return [section for section in found if section.tables or section.name == 'proxy']


def folder_tables(board: Leaderboard) -> list[Table]:
    """What each merged folder brought, and what the check of them found."""
    if not board.folders:
        return []
    lines = []
    for name in board.folders:
        rows = [row for row in board.rows if row.group == name]
        lines.append((name, len(rows), sum(len(row.records) for row in rows)))
    headings = ('Folder', Heading('Checkpoints', 'number'), Heading('Runs', 'number'))
    notes = board.notes or [('agree', 'Nothing in these folders contradicts each other.')]
    return [
        text_table('folders-list', 'Folders', headings, lines),
        text_table('folders-check', 'Check', (Heading('Verdict', 'chip'), 'What'), notes),
    ]


_SOURCE, _OURS, _THEIRS = (
    Heading('Source'),
    Heading('Ours', 'number'),
    Heading('Published', 'number'),
)
_PAIR, _DIFFERENCE, _VERDICT = (
    Heading('Checkpoint'),
    Heading('Difference', 'number'),
    Heading('Verdict', 'chip'),
)
# What a terminal has room for.
SHORT_PAIR = (_PAIR, _OURS, _THEIRS, _DIFFERENCE, _VERDICT, _SOURCE)
_PAIR_HEADINGS = (
    _PAIR, Heading('Metric'), _OURS, _THEIRS, _DIFFERENCE, _VERDICT,
    Heading('Published protocol'), Heading('Published by'), _SOURCE,
)  # fmt: skip
_RESULT_HEADINGS = (
    'Method', 'Backbone', 'Pre-training', 'Metric', Heading('Published', 'number'),
    'Protocol as stated', 'Published by', 'Source',
)  # fmt: skip


def published_tables(board: Leaderboard) -> list[Table]:
    """Ours beside published numbers, those of other protocols apart, then published ones alone."""
    section, found = board.published, []
    if section.compared:
        title = 'Our results beside published ones'
        found.append(_pair_table('compared', title, section.compared))
    if section.flagged:
        count = plural(len(section.flagged), 'published number')
        title = f'{count} of other protocols, not compared'
        found.append(_pair_table('flagged', title, section.flagged, is_folded=True))
    for name, results, title in (
        ('near', section.near, 'published result{} of the methods and backbones of this board'),
        ('further', section.further, 'further published result{}'),
    ):
        if results:
            count = f'{len(results):,} {title.format("" if len(results) == 1 else "s")}'
            lines = [_result_line(result) for result in results]
            found.append(
                text_table(
                    f'published-{name}',
                    count,
                    _RESULT_HEADINGS,
                    lines,
                    is_folded=True,
                    is_long=True,
                )
            )
    return found


def _pair_table(name: str, title: str, pairs: Sequence[Comparison], **changes: object) -> Table:
    more = len(pairs) - MOST_PAIRS
    note = f'{plural(more, "further pair")} in published.csv.' if more > 0 else ''
    lines = []
    for pair in pairs[:MOST_PAIRS]:
        theirs = pair.published
        runs = f' (n={pair.num_runs})' if pair.num_runs > 1 else ''
        lines.append(
            (
                Entry(pair.row, small=(f'{pair.method} · {pair.backbone}',)),
                pair.title,
                f'{pair.ours:.2f}{runs}',
                published_value(theirs.value),
                pair.difference_text,
                Entry(pair.verdict, small=pair.differences),
                Entry(measured_as(theirs), small=(theirs.note,) if theirs.note else ()),
                published_by(theirs),
                Entry(theirs.label, link=theirs.link, small=(theirs.row,)),
            )
        )
    return text_table(name, title, _PAIR_HEADINGS, lines, note=note, **changes)


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


@dataclass(frozen=True)
class ProxyPair:
    """A proxy column, a full column, and how far they agree on the order of the rows."""

    proxy: Column
    full: Column
    correlation: RankCorrelation


def proxy_section(board: Leaderboard) -> list[Section]:
    """How well proxies rank; nothing if no column could stand for a full one."""
    if not any(group.tier == 'proxy' or _is_full_probe(group) for group in board.groups):
        return []
    pairs, title = proxy_pairs(board), 'How well the proxy ranks'
    if not pairs:
        return [Section('proxy', title, note=NO_PROXY_PAIRS)]
    lines = []
    for pair in pairs:
        tau, p = pair.correlation.tau, pair.correlation.p_value
        p_text = DASH if p is None else '< 0.001' if p < 0.001 else f'{p:.3f}'
        names = [
            Entry(column.title, small=(column.qualifier,) if column.qualifier else ())
            for column in (pair.proxy, pair.full)
        ]
        tau_text = pair.correlation.reason if tau is None else f'{tau:+.2f}'
        lines.append((*names, f'{pair.correlation.n:,}', tau_text, p_text))
    numbers = [Heading(text, 'number') for text in ('Rows with both', "Kendall's tau", 'p')]
    table = text_table('proxy-table', title, ('Proxy', 'Full', *numbers), lines)
    return [Section('proxy', title, [table], PROXY_NOTE)]


def proxy_pairs(board: Leaderboard) -> list[ProxyPair]:
    """Every proxy column with every full column of its data set and kind of metric.

    Probes of the full tier count as proxies of what trains the backbone. Pairs that no row holds
    are left out. A mean over seeds counts as one number.
    """
    pairs = []
    for group, other in product(board.groups, repeat=2):
        is_probe = _is_full_probe(group) and not _is_full_probe(other)
        if other.tier != 'full' or not (group.tier == 'proxy' or is_probe):
            continue
        for proxy, full in product(_headlines(group), _headlines(other)):
            if _family(proxy) == _family(full):
                pairs.append(ProxyPair(proxy, full, _correlate(board, proxy, full)))
    return [pair for pair in pairs if pair.correlation.n]


def _is_full_probe(group: ColumnGroup) -> bool:
    return group.tier == 'full' and group.task in _PROBES


def _headlines(group: ColumnGroup) -> list[Column]:
    return [column for column in group.columns if column.is_ranked and column.is_headline]


def _family(column: Column) -> tuple[str, str]:
    """Data set, which the name of a task begins with, and kind of metric."""
    return (column.task.partition('-')[0], _SAME_METRICS.get(column.metric, column.metric))


def _correlate(board: Leaderboard, proxy: Column, full: Column) -> RankCorrelation:
    cells = ((row.cell(proxy), row.cell(full)) for row in board.rows)
    both = [(a.value, b.value) for a, b in cells if None not in (a.value, b.value)]
    signs = [1 if column.higher_is_better else -1 for column in (proxy, full)]
    return rank_correlation([signs[0] * a for a, _ in both], [signs[1] * b for _, b in both])


def class_section(board: Leaderboard, collection: Collection) -> list[Section]:
    """IoU and AP class by class, a table a protocol, of runs that kept their outcomes.

    Outcomes that cannot be read are left out here; the board lists them as damaged.
    """
    tables = [
        table
        for group in board.groups
        for column in group.columns
        if column.metric in _CLASS_TITLES and group.protocol is not None
        for table in _class_tables(board, collection, group, column)
    ]
    return [Section('per-class', 'Results by class', tables, CLASS_NOTE)] if tables else []


def _class_tables(
    board: Leaderboard, collection: Collection, group: ColumnGroup, column: Column
) -> Iterator[Table]:
    """One table; several where runs name different classes."""
    holders = [
        (place, row)
        for place, row in enumerate(board.rows)
        if any(run.artifacts.outcomes for run in row.cell(column).runs)
    ]
    found: dict[tuple[str, ...], list[tuple[int, Row, np.ndarray]]] = {}
    for place, row in holders[:MOST_CHECKPOINTS]:
        for names, values in _mean_over_runs(row, column, collection):
            found.setdefault(names, []).append((place, row, values))
    protocol = group.protocol
    more = len(holders) - MOST_CHECKPOINTS
    for number, (names, columns) in enumerate(found.items()):
        headings = [Heading(row.label, 'number', row=place) for place, row, _ in columns]
        values = np.stack([values for _, _, values in columns])
        is_ranked = np.array([not row.is_baseline for _, row, _ in columns])
        compared = np.where(is_ranked[:, None] & ~np.isnan(values), values, -np.inf)
        # One checkpoint alone is no ranking.
        several = np.isfinite(compared).sum(axis=0) > 1
        is_best = several & (compared == compared.max(axis=0)) & np.isfinite(compared)
        lines = [
            [name, *map(_class_entry, values[:, at], is_best[:, at])]
            for at, name in enumerate(names)
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
    row: Row, column: Column, collection: Collection
) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
    """Names of the classes and the mean over the seeds of a row, (C,) in percent; or nothing."""
    found: dict[tuple[str, ...], list[np.ndarray]] = {}
    cell = row.cell(column)
    for run in cell.runs if cell.state == 'value' else ():
        if not run.artifacts.outcomes:
            continue
        try:
            path = collection.artifact_path(run, run.artifacts.outcomes)
            status = path.stat()
            names, scores = _scores_of(path, status.st_mtime_ns, status.st_size)
        except (RecordError, OSError):
            # Listed as damaged where the board reads the same file for its intervals.
            continue
        if column.metric in scores:
            found.setdefault(names, []).append(scores[column.metric])
    for names, values in list(found.items())[:1]:
        stacked = np.stack(values)
        known = ~np.isnan(stacked)
        # A class that no image is labelled with has an IoU only in the runs that predict it.
        with np.errstate(invalid='ignore'):
            yield names, np.where(known, stacked, 0).sum(axis=0) / known.sum(axis=0)


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


def protocol_table(board: Leaderboard) -> Table:
    """The protocols of the columns in their order, then those of pre-training."""
    lines = [
        (
            f'{group.title}: {", ".join(c.short_title for c in group.columns)}',
            group.task,
            group.protocol,
        )
        for group in board.groups
        if group.protocol is not None
    ]
    pretraining = {record.protocol: record for record in reversed(board.pretraining)}
    for record in reversed(pretraining.values()):
        method = catalogue.method_title(record.checkpoint.method)
        lines.append((f'Pre-training by {method}', record.task, record.protocol))
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
    frame = runs_frame(board, MOST_RUNS)
    frame['checkpoint_sha256'] = frame['checkpoint_sha256'].map(lambda h: h[:8] if h else DASH)
    frame['results'] = frame['results'].where(frame['status'] != 'failed', 'failed')
    frame['wall_s'] = frame['wall_s'].map(
        lambda s: DASH if s is None else str(timedelta(seconds=round(s)))
    )
    # Cut off, not rounded: 99.96 % is not all of it.
    frame['weights_loaded'] = frame['weights_loaded'].map(
        lambda share: DASH if share is None else f'{int(share * 1000) / 10:g} %'
    )
    several = [
        f'{n} x {d}' if (n or 1) > 1 else d
        for n, d in zip(frame['num_devices'], frame['device'], strict=True)
    ]
    lines = frame.assign(device=several)[list(shown)].to_numpy().tolist()
    title = plural(len(board.records), 'run')
    where = 'The first' if len(board.records) > MOST_RUNS else 'The'
    note = f'{where} {plural(len(lines), "run")}; runs.csv has all of them, with their costs.'
    table = text_table('runs-table', title, list(shown.values()), lines, is_folded=True, note=note)
    text = 'Every number that is not marked as published was measured in one of these runs.'
    return Section('runs', 'Runs', [table], text)


def environment_section(board: Leaderboard) -> Section:
    """The versions and devices of all runs, the well-known ones first."""
    counts: dict[str, Counter[str]] = {}
    for record in board.records:
        for key, value in {**record.env, 'device': record.cost.device}.items():
            if key not in _NO_FACTS_OF_A_MACHINE:
                counts.setdefault(key, Counter())[value] += 1
    known = [key for key in ('device', *_KNOWN_KEYS) if key in counts]
    lines = []
    for key in known + sorted(set(counts) - set(known)):
        of_all = len(counts[key]) == 1 and counts[key].total() == len(board.records)
        for value, count in sorted(counts[key].items()):
            lines.append((key, value, 'all' if of_all else f'{count:,}'))
    headings = ('Fact', 'Value', Heading('Runs', 'number'))
    table = text_table('environment-table', 'Environment', headings, lines)
    return Section('environment', 'Environment', [table])
