"""Published numbers as CSV: first those beside ours, one line a pair, then all others."""

from collections.abc import Iterator

from mim_bench.report.comparison import Comparison
from mim_bench.report.leaderboard import Leaderboard
from mim_bench.report.plain_text import csv_text, to_csv
from mim_bench.results.published import PublishedProtocol, PublishedResult

_COMPARISON = (
    'checkpoint', 'our_protocol', 'our_protocol_hash', 'our_runs', 'ours', 'published',
    'difference', 'tolerance', 'verdict',
)  # fmt: skip
# Fields of a result, of its pre-training and of its protocol, each under its own name.
_RESULT = ('method', 'variant', 'backbone', 'params', 'metric', 'by', 'note', 'file', 'row')
_PRETRAIN = ('data', 'epochs', 'counts_views', 'labels', 'note')
_PROTOCOL = tuple(name for name in PublishedProtocol.model_fields if name != 'other')
_FIELDS = (
    *_COMPARISON,
    *_RESULT,
    *(f'pretrain_{name}' for name in _PRETRAIN),
    *(name if name == 'task' else f'protocol_{name}' for name in _PROTOCOL),
    'protocol_other',
    'repository',
    'commit',
    'link',
)


def render_published_csv(board: Leaderboard) -> str:
    """Render every published result, those that match a row of ours first."""
    return to_csv(_FIELDS, _lines(board))


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
        'checkpoint': csv_text(comparison.row),
        'our_protocol': csv_text(comparison.protocol.name),
        'our_protocol_hash': comparison.protocol.hash,
        'our_runs': comparison.num_runs,
        'ours': comparison.ours,
        'difference': comparison.difference,
        'tolerance': comparison.tolerance,
        'verdict': csv_text(comparison.verdict_text),
    }


def _published(result: PublishedResult) -> dict[str, object]:
    protocol = result.protocol
    line = {
        **{name: getattr(result, name) for name in (*_RESULT, 'repository', 'commit', 'link')},
        **{f'pretrain_{name}': getattr(result.pretrain, name) for name in _PRETRAIN},
        **{f'protocol_{name}': getattr(protocol, name) for name in _PROTOCOL if name != 'task'},
        'task': result.task,
        'published': result.value,
        'protocol_other': '; '.join(f'{k} {v}' for k, v in protocol.other.items()),
    }
    return {name: csv_text(v) if isinstance(v, str) else v for name, v in line.items()}
