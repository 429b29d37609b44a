"""How each row looks in every chart: a name, a colour and, for random weights, dashes."""

from collections import Counter
from dataclasses import dataclass

from mim_bench.report.leaderboard import Leaderboard, Row
from mim_bench.report.plain_text import one_line

NUM_COLOURS = 8
NUM_DASHES = 4


@dataclass(frozen=True)
class RowStyle:
    """The name of a row in legends and beside dots, and the CSS classes of its lines and dots.

    ``index`` is the place of the row on the board, by which the page finds all that is of it.
    """

    name: str
    short_name: str
    css: str
    index: int = 0


def row_styles(board: Leaderboard) -> dict[str, RowStyle]:
    """Styles by the label of the row.

    Colours repeat after eight rows, with other dashes; random weights are grey and
    dashed, since they are what the others are held against.
    """
    names = Counter(_name(row) for row in board.rows)
    methods = Counter(row.method for row in board.rows)
    places = {row.label: index for index, row in enumerate(board.rows)}
    styles = {}
    num_trained = num_random = 0
    # Not in the order of the ranking, so that one more result does not recolour the rest.
    for row in sorted(board.rows, key=lambda row: row.label):
        short_name = one_line(row.method) if methods[row.method] == 1 else _name(row)
        name = _name(row) if names[_name(row)] == 1 else one_line(row.label)
        if row.is_random:
            css = f'random dash{num_random % (NUM_DASHES - 1) + 1}'
            num_random += 1
        else:
            css = f'colour{num_trained % NUM_COLOURS}'
            css += f' dash{num_trained // NUM_COLOURS % NUM_DASHES}'
            num_trained += 1
        styles[row.label] = RowStyle(name, short_name, css, places[row.label])
    return styles


def _name(row: Row) -> str:
    return one_line(f'{row.method} · {row.checkpoint.backbone}')
