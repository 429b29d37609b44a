"""How well cheap measurements rank what expensive ones would: Kendall's tau over common rows."""

from dataclasses import dataclass
from itertools import product

from mim_bench.report.leaderboard import Column, ColumnGroup, Leaderboard
from mim_bench.results.statistics.rank_correlation import RankCorrelation, rank_correlation

# Tasks that stand for others even in their full form: probes, and few labels.
PROBES = {'in1k-knn', 'in1k-linear', 'in1k-1pct-ft', 'in1k-10pct-ft', 'ade20k-linear'}
# Names of one kind of metric.
_METRICS = {'knn_top1': 'top1', 'linear_top1': 'top1'}

PROXY_NOTE = (
    "Kendall's tau compares the order of the rows that hold both numbers: 1 is the same order, 0 "
    'none, -1 the reverse. p is that of no association. Both numbers are of one data set.'
)
NO_PAIRS = 'No row of this board holds a proxy and a full number of one data set.'


@dataclass(frozen=True)
class ProxyPair:
    """A proxy column, a full column, and how far they agree."""

    proxy: Column
    full: Column
    correlation: RankCorrelation

    @property
    def tau_text(self) -> str:
        """Tau with its sign, or why there is none."""
        tau = self.correlation.tau
        return self.correlation.reason if tau is None else f'{tau:+.2f}'

    @property
    def p_text(self) -> str:
        """The p-value, or a dash."""
        p_value = self.correlation.p_value
        if p_value is None:
            return '\N{EN DASH}'
        return '< 0.001' if p_value < 0.001 else f'{p_value:.3f}'


def has_proxies(board: Leaderboard) -> bool:
    """Whether the board has any column that a full one could be held against."""
    return any(_tier(group) == 'proxy' or _is_full_probe(group) for group in board.groups)


def proxy_pairs(board: Leaderboard) -> list[ProxyPair]:
    """Every proxy column with every full column of its data set and kind of metric.

    Probes of the full tier count as proxies of what trains the backbone. Pairs that no row holds
    are left out. A mean over seeds counts as one number.
    """
    pairs = []
    for group in board.groups:
        for other in board.groups:
            if not _stands_for(group, other):
                continue
            for proxy, full in product(_headlines(group), _headlines(other)):
                if _family(proxy) == _family(full):
                    pairs.append(ProxyPair(proxy, full, _correlate(board, proxy, full)))
    return [pair for pair in pairs if pair.correlation.n]


def _stands_for(group: ColumnGroup, other: ColumnGroup) -> bool:
    if _tier(other) != 'full':
        return False
    return _tier(group) == 'proxy' or (_is_full_probe(group) and not _is_full_probe(other))


def _tier(group: ColumnGroup) -> str | None:
    return group.protocol.tier if group.protocol is not None else None


def _is_full_probe(group: ColumnGroup) -> bool:
    return _tier(group) == 'full' and group.task in PROBES


def _headlines(group: ColumnGroup) -> list[Column]:
    return [column for column in group.columns if column.is_ranked and column.is_headline]


def _family(column: Column) -> tuple[str, str]:
    """Data set, which the name of a task begins with, and kind of metric."""
    return (column.task.partition('-')[0], _METRICS.get(column.metric, column.metric))


def _correlate(board: Leaderboard, proxy: Column, full: Column) -> RankCorrelation:
    cells = ((row.cell(proxy), row.cell(full)) for row in board.rows)
    both = [(a.value, b.value) for a, b in cells if None not in (a.value, b.value)]
    signs = [1 if column.higher_is_better else -1 for column in (proxy, full)]
    return rank_correlation([signs[0] * a for a, _ in both], [signs[1] * b for _, b in both])
