"""The tables below the results, as pandas frames.

A cell is a text or a number; a text with several lines has its main one first. What stands below a
heading, and so how each format aligns it, is told by :data:`KINDS`. A column ``Link`` holds the
addresses of the column before it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import product

import numpy as np
import pandas as pd
from scipy import stats

from mim_bench.errors import RecordError
from mim_bench.report import catalogue
from mim_bench.report.board import DASH, Board, Column
from mim_bench.report.notes import NOTES, plural
from mim_bench.report.published import metric_name
from mim_bench.report.text import one_line
from mim_bench.results.outcomes_file import read_outcomes
from mim_bench.results.scores import class_scores
from mim_bench.results.store import DamagedFile

# Numbers go to the right; codes and chips have a look of their own on the page.
KINDS = {'Verdict': 'chip', 'Tier': 'chip', 'Hash': 'code', 'SHA-256': 'code'} | dict.fromkeys(
    ('Ours', 'Published', 'Difference', 'Checkpoints', 'Runs', 'Rows with both', "Kendall's tau",
     'p', 'Seed', 'Devices', 'Weights loaded', 'Wall time', 'A', 'B', 'A - B', '95 % interval'),
    'number',
)  # fmt: skip
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


def _table(title: str, lines: Sequence[Sequence[object]], *headings: str, note: str = '') -> Table:
    return Table(title, pd.DataFrame(lines, columns=list(headings), dtype=object), note)


def lines_of(*texts: str) -> str:
    """A cell with lines of untrusted text; empty ones are left out."""
    return '\n'.join(filter(None, map(one_line, texts)))


def sections(board: Board) -> list[Section]:
    """The sections that every format may show, in their order; empty ones are left out."""
    found = [
        Section('folders', 'Merged folders', list(_folder_tables(board))),
        Section('published', 'Published results', list(published_tables(board))),
        Section('totals', 'Cost of each row', columns=board.costs),
        Section('proxy', 'How well the proxy ranks', list(_proxy_tables(board))),
        Section('protocols', 'Protocols', [_protocol_table(board)]),
        *problem_sections(board, board.damaged),
    ]
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
    is_other = board.pairs['verdict'] == 'other protocol'
    for pairs, title in (
        (board.pairs[~is_other], 'Our results beside published ones'),
        (board.pairs[is_other], '{} of other protocols, not compared'),
    ):
        if len(pairs):
            more = len(pairs) - MOST_PAIRS
            yield Table(
                title.format(plural(len(pairs), 'published number')),
                pd.DataFrame([_pair(board, pair) for pair in pairs[:MOST_PAIRS].itertuples()]),
                note=f'{plural(more, "further pair")} in published.csv.' if more > 0 else '',
                is_folded=pairs['verdict'].iloc[0] == 'other protocol',
            )


def _pair(board: Board, pair: tuple) -> dict[str, str]:
    row, result, seeds = board.rows.loc[pair.label], pair.result, len(pair.runs)
    return {
        'Checkpoint': lines_of(pair.label, f'{row["Method"]} · {row["Backbone"]}'),
        'Metric': board.columns[pair.column].title,
        'Ours': f'{pair.ours:.2f}{f" (n={seeds})" if seeds > 1 else ""}',
        'Published': result.shown_value,
        'Difference': DASH if pd.isna(pair.difference) else f'{pair.difference:+.2f}',
        'Verdict': lines_of(pair.verdict, *pair.differences),
        'Published protocol': lines_of(result.measured_as, result.note or ''),
        'Published by': result.published_by,
        'Source': lines_of(result.label, result.row),
        'Link': result.link,
    }


# Tasks that stand for others even in their full form: probes, and few labels.
_PROBES = {
    'in1k-knn', 'in1k-knn-best-layer', 'in1k-linear', 'in1k-linear-best-layer', 'in1k-attentive',
    'in1k-1pct-ft', 'in1k-10pct-ft', 'ade20k-knn', 'ade20k-logreg', 'ade20k-linear',
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
    return column.task.partition('-')[0], metric_name(column.metric)


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
    """IoU and AP class by class, a table a protocol, of runs that kept their outcomes.

    Outcomes that cannot be read are left out here; the board lists them as damaged.
    """
    places = {label: place for place, label in enumerate(board.rows.index)}
    for place, column in enumerate(board.columns):
        if column.part != 'task' or column.metric not in _CLASS_TITLES:
            continue
        cells = board.cells[board.cells['column'] == place].set_index('label')['runs']
        kept = cells[cells.map(lambda runs: any(run.artifacts.outcomes for run in runs))]
        kept = kept.reindex(sorted(kept.index, key=places.get))
        # Runs may name different classes.
        found: dict[tuple[str, ...], dict[str, pd.Series]] = defaultdict(dict)
        for label, runs in kept[:MOST_CHECKPOINTS].items():
            if (scores := _mean_by_class(board, runs, column.metric)) is not None:
                found[tuple(scores.index)][label] = scores
        note = f'Protocol {column.protocol.name} {column.protocol.hash}.'
        if (more := len(kept) - MOST_CHECKPOINTS) > 0:
            note += f' {plural(more, "further checkpoint")} not shown.'
        for scores in map(pd.DataFrame, found.values()):
            ranked = scores.mask(
                np.tile(board.rows['is_baseline'][scores.columns], (len(scores), 1))
            )
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


def _mean_by_class(board: Board, runs: Sequence, metric: str) -> pd.Series | None:
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
        if (scores := class_scores(outcomes).get(metric)) is not None:
            names = outcomes.class_names or [f'class {place}' for place in range(len(scores))]
            found.append(pd.Series(scores, names))
    alike = [scores for scores in found if scores.index.equals(found[0].index)]
    return pd.concat(alike, axis=1).mean(axis=1) if alike else None


def _protocol_table(board: Board) -> Table:
    """The protocols of the columns in their order, then those of pre-training."""
    lines = []
    for column, places in board.grouped(board.results()):
        if column.protocol is not None:
            names = ', '.join(board.columns[place].short_title for place in places)
            lines.append((f'{column.group_title}: {names}', column.task, column.protocol))
    for record in board.records:
        if record.is_pretraining:
            method = catalogue.method_title(record.checkpoint.method)
            lines.append((f'Pre-training by {method}', record.task, record.protocol))
    texts = [(names, task, p.name, p.version, p.hash, p.tier) for names, task, p in lines]
    headings = ['Columns', 'Task', 'Protocol', 'Version', 'Hash', 'Tier']
    frame = pd.DataFrame(texts, columns=headings, dtype=object)
    return Table('Protocols', frame.drop_duplicates(headings[2:]))


def problem_sections(board: Board, damaged: Sequence[DamagedFile]) -> Iterator[Section]:
    """Failed runs, and files that were left out."""
    if board.failed:
        lines = [(r.run_id, r.task, r.checkpoint.id, r.cause or '', r.error) for r in board.failed]
        table = _table('Failed runs', lines, 'Run', 'Task', 'Checkpoint', 'Cause', 'Error')
        yield Section('failed-runs', 'Failed runs', [table])
    if damaged:
        table = _table('Files left out', [(f.path, f.reason) for f in damaged], 'File', 'Reason')
        yield Section('damaged-files', 'Damaged files, left out', [table])


def run_table(board: Board, most: int | None = None) -> pd.DataFrame:
    """A line a run with the fields of its record: pre-training, then tasks by checkpoint."""
    records = sorted(
        board.records,
        key=lambda r: (
            not r.is_pretraining, catalogue.task_rank(r.task), r.checkpoint.id, r.run_id,
        ),
    )  # fmt: skip
    lines = [
        {
            'group': board.collection.group(record),
            **flat(record, 'metrics', 'load', 'artifacts', 'batch', 'schema_version'),
            'results': ', '.join(
                f'{name} {m.value:.4g}{f" {m.unit}" if m.unit else ""} ({m.split})'
                for name, m in record.metrics.items()
            ),
            'weights_loaded': record.load and record.load.share,
            'effective_batch': record.batch and record.batch.effective_batch,
        }
        for record in records[:most]
    ]
    return pd.DataFrame(lines, dtype=object)


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


_SHOWN_OF_RUNS = {
    'run_id': 'Run', 'origin': 'Record by', 'checkpoint_id': 'Checkpoint',
    'checkpoint_sha256': 'SHA-256', 'task': 'Task', 'protocol_name': 'Protocol',
    'protocol_hash': 'Hash', 'seed': 'Seed', 'results': 'Results',
    'weights_loaded': 'Weights loaded', 'cost_wall_s': 'Wall time', 'cost_device': 'Device',
    'cost_num_devices': 'Devices', 'started_at': 'Started', 'env_git': 'Git',
    'config_path': 'Config',
}  # fmt: skip


def run_section(board: Board) -> Section:
    """The first :data:`MOST_RUNS` runs with the facts that a reader looks for."""
    runs = run_table(board, MOST_RUNS)
    runs['results'] = runs['results'].where(runs['status'] == 'done', 'failed')
    for name, show in {
        'checkpoint_sha256': lambda digest: digest[:8],
        # Cut off, not rounded: 99.96 % is not all of it.
        'weights_loaded': lambda share: f'{int(share * 1000) / 10:g} %',
        'cost_wall_s': lambda seconds: str(timedelta(seconds=round(seconds))),
    }.items():
        runs[name] = runs[name].map(show, na_action='ignore')
    frame = runs[list(_SHOWN_OF_RUNS)].rename(columns=_SHOWN_OF_RUNS)
    where = 'The first' if len(board.records) > MOST_RUNS else 'The'
    note = f'{where} {plural(len(frame), "run")}; runs.csv has all of them, with their costs.'
    title = plural(len(board.records), 'run')
    return Section('runs', 'Runs', [Table(title, frame.fillna(DASH), note, is_folded=True)])
