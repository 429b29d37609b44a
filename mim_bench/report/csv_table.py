"""The leaderboard as CSV: one line a cell, with the protocol and the runs of every number."""

from collections.abc import Iterator

from mim_bench.report.leaderboard import Cell, Column, Leaderboard, Row
from mim_bench.report.plain_text import csv_text, to_csv
from mim_bench.report.wording import labels_note, labels_text
from mim_bench.results.record import Protocol

_FIELDS = (
    'checkpoint', 'method', 'backbone', 'source', 'pretrain_epochs', 'pretrain_data', 'labels',
    'params', 'img_size', 'licence', 'task', 'metric', 'title', 'saw_labels',
    'state', 'value', 'n', 'sd', 'ci_low', 'ci_high', 'ci_of', 'not_distinguishable', 'unit',
    'higher_is_better', 'is_best', 'protocol', 'protocol_version',
    'protocol_hash', 'tier', 'runs', 'seeds', 'started_at', 'device', 'error', 'note',
)  # fmt: skip


def render_csv(board: Leaderboard) -> str:
    """Render every cell that is not missing, with unrounded values; costs come last."""
    return to_csv(_FIELDS, _lines(board))


def _lines(board: Leaderboard) -> Iterator[dict[str, object]]:
    costs = [column for group in board.costs for column in group.columns]
    for columns in (board.columns, costs):
        for row in board.rows:
            found = ((column, row.cell(column)) for column in columns)
            yield from (_line(row, *pair) for pair in found if pair[1].state != 'missing')


def _line(row: Row, column: Column, cell: Cell) -> dict[str, object]:
    checkpoint = row.checkpoint
    run = cell.runs[-1]
    protocol: Protocol = run.protocol
    texts = {
        'checkpoint': row.label,
        'method': checkpoint.method,
        'backbone': checkpoint.backbone,
        'source': checkpoint.source,
        'task': column.task if column.is_sum else run.task,
        'metric': column.metric,
        'title': column.title,
        'unit': column.unit,
        'protocol': protocol.name,
        'protocol_version': protocol.version,
        'runs': ' '.join(r.run_id for r in cell.runs),
        'seeds': ' '.join(str(r.seed) for r in cell.runs),
        'device': run.cost.device,
        'error': run.error or '',
        'note': cell.note or labels_note(cell),
        'pretrain_data': checkpoint.pretrain_data or '',
        'labels': labels_text(checkpoint),
        'licence': checkpoint.licence or '',
    }
    if column.is_sum:  # of runs of several protocols
        texts |= {'protocol': '', 'protocol_version': ''}
    return {name: csv_text(text) for name, text in texts.items()} | {
        'pretrain_epochs': checkpoint.pretrain_epochs,
        'params': checkpoint.params,
        'img_size': checkpoint.img_size,
        'saw_labels': _saw_labels(cell) if column.is_ranked else '',
        'state': cell.state,
        'value': cell.value,
        'n': '' if column.is_sum else len(cell.runs),
        'sd': cell.sd,
        'ci_low': cell.interval and cell.interval[0],
        'ci_high': cell.interval and cell.interval[1],
        'ci_of': cell.interval_of,
        'not_distinguishable': cell.is_tied,
        'higher_is_better': column.higher_is_better,
        'is_best': cell.is_best,
        # Digits only may look like a number, 12 of them like 1.2e+11.
        'protocol_hash': '' if column.is_sum else protocol.hash,
        'tier': '' if column.is_sum else protocol.tier,
        'started_at': run.started_at,
    }


def _saw_labels(cell: Cell) -> bool | str:
    return 'unknown' if cell.saw_labels is None else cell.saw_labels
