"""Published numbers as CSV: first those beside ours, one line a pair, then all others."""

from collections.abc import Iterator

from mim_bench.report.comparison import Comparison
from mim_bench.report.leaderboard import Leaderboard
from mim_bench.report.plain_text import csv_text, to_csv
from mim_bench.results.published import PublishedResult

_FIELDS = (
    'checkpoint', 'our_protocol', 'our_protocol_hash', 'our_runs', 'ours', 'published',
    'difference', 'tolerance', 'verdict', 'method', 'variant', 'backbone', 'pretrain_epochs',
    'task', 'metric', 'unit', 'split', 'protocol', 'protocol_stated', 'epochs', 'iterations',
    'resolution', 'detector', 'schedule', 'test', 'init', 'kind', 'source', 'place', 'link',
    'read_as', 'note',
)  # fmt: skip


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
    protocol, source = result.protocol, result.source
    texts = {
        'method': result.method,
        'variant': result.variant,
        'backbone': result.backbone,
        'task': result.task,
        'metric': result.metric,
        'unit': result.unit,
        'split': protocol.split,
        'protocol': protocol.name,
        'protocol_stated': protocol.stated,
        'detector': protocol.detector,
        'schedule': protocol.schedule,
        'test': protocol.test,
        'init': protocol.init,
        'kind': result.kind,
        'source': source.title,
        'place': source.place,
        'link': source.link,
        'read_as': source.read_as,
        'note': result.note,
    }
    return {name: csv_text(text or '') for name, text in texts.items()} | {
        'published': result.value,
        'pretrain_epochs': result.pretrain_epochs,
        'epochs': protocol.epochs,
        'iterations': protocol.iterations,
        'resolution': protocol.resolution,
    }
