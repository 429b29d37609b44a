"""Published numbers as rows that stand below ours in the table, each under the column it fits.

They are never ranked with ours. A number of the very recipe of a column stands there as it is; one
of another recipe stands in the first column of full tier of its task and metric, with a mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from mim_bench.report.catalogue import method_title
from mim_bench.report.leaderboard import Column, ColumnGroup, Leaderboard
from mim_bench.report.published import metric_name
from mim_bench.results.published import PublishedResult, network_family


@dataclass(frozen=True)
class PublishedCell:
    """One published number; ``is_same_recipe`` says whether the column has its recipe."""

    result: PublishedResult
    is_same_recipe: bool


@dataclass(frozen=True)
class PublishedRow:
    """What one source published of one pre-training; ``cells`` by the key of the column."""

    first: PublishedResult
    cells: dict[str, PublishedCell] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """The method's title."""
        return method_title(self.first.method)


def published_rows(board: Leaderboard) -> list[PublishedRow]:
    """Rows for the backbones of the board, of what its columns of full tier measure.

    Two numbers of one source for one column give two rows.
    """
    families = {network_family(row.checkpoint.backbone) for row in board.rows}
    rows: dict[tuple, list[PublishedRow]] = {}
    for result in board.published.near:
        if network_family(result.backbone) not in families:
            continue
        column, is_same = _column_for(board.groups, result)
        if column is None:
            continue
        entries = rows.setdefault(_identity(result), [])
        free = next((row for row in entries if column.key not in row.cells), None)
        if free is None:
            free = PublishedRow(result)
            entries.append(free)
        free.cells[column.key] = PublishedCell(result, is_same)
    found = [row for entries in rows.values() for row in entries]
    by = board.sorted_by
    return sorted(found, key=lambda row: (*_value_rank(row, by), *_rank(row)))


def _identity(result: PublishedResult) -> tuple:
    family = network_family(result.backbone)
    source = result.repository or result.file
    return (result.method, result.variant, family, result.pretrain.model_dump_json(), source)


def _value_rank(row: PublishedRow, column: Column | None) -> tuple[bool, float]:
    """Best first by the column that our rows are sorted by."""
    cell = row.cells.get(column.key) if column is not None else None
    if cell is None:
        return (True, 0.0)
    return (False, -cell.result.value if column.higher_is_better else cell.result.value)


def _rank(row: PublishedRow) -> tuple:
    first = row.first
    epochs = first.pretrain.epochs or 0
    return (first.backbone, row.method.lower(), first.variant or '', epochs, first.label)


def _column_for(
    groups: Sequence[ColumnGroup], result: PublishedResult
) -> tuple[Column | None, bool]:
    """The column of a result, and whether its recipe is the column's."""
    others = []
    for group in groups:
        protocol = group.protocol
        if protocol is None or protocol.tier != 'full' or group.task != result.task:
            continue
        for column in group.columns:
            if not column.is_headline or metric_name(column.metric) != result.metric:
                continue
            if protocol.name == result.protocol.ours and result.protocol.test != 'multi-scale':
                return column, True
            others.append(column)
    return (others[0], False) if others else (None, False)
