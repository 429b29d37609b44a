"""The sentences around the tables of all formats."""

from pathlib import Path

import yaml

from mim_bench.report.board import RANK, Board, row_names
from mim_bench.results.statistics import ALPHA, AP_TOLERANCE, MIOU_TOLERANCE, TOP1_TOLERANCE

NOTES = yaml.safe_load((Path(__file__).parent / 'templates' / 'notes.yml').read_text('utf-8'))
NOTES['tied'] = NOTES['tied'].format(alpha=ALPHA)
NOTES['published'] = NOTES['published'].format(
    top1=TOP1_TOLERANCE, miou=MIOU_TOLERANCE, ap=AP_TOLERANCE
)


def plural(count: int, noun: str) -> str:
    """A count with its noun: ``1 run``, ``2 runs``."""
    return f'{count:,} {noun}' if count == 1 else f'{count:,} {noun}s'


def summary_line(board: Board) -> str:
    """How much there is and when it was measured, in one line."""
    parts = [plural(len(board.rows), 'checkpoint'), plural(len(board.records), 'run')]
    if board.failed:
        parts.append(f'{len(board.failed):,} failed')
    if board.damaged:
        parts.append(f'{plural(len(board.damaged), "damaged file")} left out')
    if board.folders:
        parts.append(f'merged from {", ".join(board.folders)}')
    days = sorted({record.started_at[:10] for record in board.records})
    return ' · '.join([*parts, ' to '.join(dict.fromkeys((days[0], days[-1])))])


def conclusion(board: Board) -> str:
    """One sentence on what the board allows to conclude."""
    ranked = board.rows.dropna(subset=RANK)
    if ranked.empty:
        return NOTES['nothing']
    rank = ranked[RANK].iloc[0]
    best = ranked.index[ranked[RANK] == rank]
    cells = board.cells[board.cells['label'].eq(best[0]) & board.cells['column'].isin(board.shared)]
    names, alone = row_names(board.rows), (cells['is_best'] & cells['is_tied'].eq(False)).sum()
    note = 'shared' if len(best) > 1 else 'leads' if alone else 'open'
    return NOTES[note].format(
        names=', '.join(names[label] for label in best),
        rank=rank,
        count=plural(len(ranked), 'checkpoint'),
        columns=plural(len(board.shared), 'column'),
        top=(cells['is_best'] | cells['is_tied'].eq(True)).sum(),
        alone=alone,
        reach=NOTES[f'reach-{board.columns[board.shared[0]].tier}'],
    )


def reading_note(board: Board, *, with_intervals: bool = True) -> str:
    """How the board is sorted, and what the marks of spread, ties and labels on it mean."""
    notes = [NOTES['reading']]
    if board.shared:
        names = ', '.join(board.columns[place].title for place in board.shared)
        count = plural(board.rows[RANK].count(), 'checkpoint')
        notes.append(NOTES['order'].format(count=count, names=names))
    cells = board.cells
    used = {
        'sd': cells['sd'].notna(),
        'interval': cells['low'].notna() & with_intervals,
        'tied': cells['is_tied'].eq(True),
        'labels': cells['saw_labels'].eq(True),
        'unknown': cells['saw_labels'].isna(),
    }
    return ' '.join([*notes, *(NOTES[name] for name, is_used in used.items() if is_used.any())])
