"""Published numbers as CSV: first those beside ours, one line a pair, then all others."""

from collections.abc import Iterator

from mim_bench.report.comparison import Comparison
from mim_bench.report.leaderboard import Leaderboard
from mim_bench.report.plain_text import csv_text, to_csv
from mim_bench.results.published import Pretraining, PublishedProtocol, PublishedResult

_FIELDS = (
    'checkpoint', 'our_protocol', 'our_protocol_hash', 'our_runs', 'ours', 'value', 'difference',
    'tolerance', 'verdict',
    *(n for n in PublishedResult.model_fields if n not in ('value', 'pretrain', 'protocol')),
    *(f'pretrain_{name}' for name in Pretraining.model_fields),
    *(f'protocol_{name}' for name in PublishedProtocol.model_fields),
    'link',
)  # fmt: skip


def render_published_csv(board: Leaderboard) -> str:
    """Render every published result, those that match a row of ours first."""
    return to_csv(_FIELDS, map(_as_texts, _lines(board)))


def _lines(board: Leaderboard) -> Iterator[dict[str, object]]:
    section = board.published
    for comparison in section.comparisons:
        yield _published(comparison.published) | _ours(comparison)
    beside = {id(comparison.published) for comparison in section.comparisons}
    for result in [*section.near, *section.further]:
        if id(result) not in beside:
            yield _published(result)


def _ours(comparison: Comparison) -> dict[str, object]:
    return {
        'checkpoint': comparison.row,
        'our_protocol': comparison.protocol.name,
        'our_protocol_hash': comparison.protocol.hash,
        'our_runs': comparison.num_runs,
        'ours': comparison.ours,
        'difference': comparison.difference,
        'tolerance': comparison.tolerance,
        'verdict': comparison.verdict_text,
    }


def _published(result: PublishedResult) -> dict[str, object]:
    line = {name: value for name, value in result if name not in ('pretrain', 'protocol')}
    line |= {f'pretrain_{name}': value for name, value in result.pretrain}
    line |= {f'protocol_{name}': value for name, value in result.protocol}
    other = '; '.join(f'{name} {value}' for name, value in result.protocol.other.items())
    return line | {'protocol_other': other, 'link': result.link}


def _as_texts(line: dict[str, object]) -> dict[str, object]:
    return {k: csv_text(v) if isinstance(v, str) else v for k, v in line.items()}
