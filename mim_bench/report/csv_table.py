"""The leaderboard as CSV: one line a cell, with the protocol and the runs of every number."""

import csv
import io

from mim_bench.report.leaderboard import Cell, Column, Leaderboard, Row
from mim_bench.report.plain_text import csv_text
from mim_bench.results.record import Protocol

_FIELDS = (
    'checkpoint', 'method', 'backbone', 'source', 'pretrain_epochs', 'task', 'metric', 'title',
    'state', 'value', 'unit', 'higher_is_better', 'is_best', 'protocol', 'protocol_version',
    'protocol_hash', 'tier', 'runs', 'seeds', 'started_at', 'device', 'error',
)  # fmt: skip


def render_csv(board: Leaderboard) -> str:
    """Render every cell that is not missing, with unrounded values."""
    out = io.StringIO()
    writer = csv.DictWriter(out, _FIELDS, lineterminator='\n')
    writer.writeheader()
    for row in board.rows:
        for column in board.columns:
            cell = row.cell(column)
            if cell.state != 'missing':
                writer.writerow(_line(row, column, cell))
    return out.getvalue()


def _line(row: Row, column: Column, cell: Cell) -> dict[str, object]:
    checkpoint = row.checkpoint
    run = cell.runs[-1]
    protocol: Protocol = run.protocol
    texts = {
        'checkpoint': row.label,
        'method': checkpoint.method,
        'backbone': checkpoint.backbone,
        'source': checkpoint.source,
        'task': run.task,
        'metric': column.metric,
        'title': column.title,
        'unit': column.unit,
        'protocol': protocol.name,
        'protocol_version': protocol.version,
        'runs': ' '.join(r.run_id for r in cell.runs),
        'seeds': ' '.join(str(r.seed) for r in cell.runs),
        'device': run.cost.device,
        'error': run.error or '',
    }
    return {name: csv_text(text) for name, text in texts.items()} | {
        'pretrain_epochs': checkpoint.pretrain_epochs,
        'state': cell.state,
        'value': cell.value,
        'higher_is_better': column.higher_is_better,
        'is_best': cell.is_best,
        # Digits only may look like a number, 12 of them like 1.2e+11.
        'protocol_hash': protocol.hash,
        'tier': protocol.tier,
        'started_at': run.started_at,
    }
