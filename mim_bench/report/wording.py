"""Sentences that more than one renderer shows."""

from mim_bench.report.leaderboard import Leaderboard

READING_NOTE = (
    'Bold is the best of its column. Columns that differ in protocol or tier are never '
    'ranked together; a dash means that nothing was measured.'
)

TIER_NOTES = {
    'proxy': 'Columns marked proxy come from shortened protocols: they rank, they do not quote.',
    'smoke': (
        'Columns marked smoke come from tiny runs that show that everything works; '
        'they are not comparable with published numbers.'
    ),
}


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
    days = sorted(record.started_at[:10] for record in board.records)
    if days:
        parts.append(days[0] if days[0] == days[-1] else f'{days[0]} to {days[-1]}')
    return ' · '.join(parts)
