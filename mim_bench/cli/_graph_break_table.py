"""The table of ``mim-bench profile --graph-breaks``. No subcommand."""

from collections.abc import Iterator, Mapping

from rich.table import Table
from rich.text import Text

from mim_bench.profiling.graph_breaks import GraphBreaks

_COLUMNS = ('training step', 'backbone without a mask')


def graph_break_table(rows: Mapping[str, GraphBreaks]) -> Table:
    """The table, a row a config; the caption lists the reasons."""
    reasons = sorted({reason for row in rows.values() for reason in (*row.training, *row.features)})
    caption = '\n'.join(['Graph breaks of torch.compile.', *reasons])
    table = Table(caption=Text(caption), caption_justify='left')
    for name in ('config', 'backbone'):
        table.add_column(name, overflow='fold')
    for name in _COLUMNS:
        table.add_column(name, justify='right')
    for cells in _cells(rows):
        table.add_row(*map(Text, cells))
    return table


def graph_break_markdown(rows: Mapping[str, GraphBreaks]) -> str:
    """The table as Markdown, without the reasons."""
    lines = [('config', 'backbone', *_COLUMNS), ('---', '---', '---:', '---:')]
    lines += [(f'`{name}`', *cells) for name, *cells in _cells(rows)]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


def _cells(rows: Mapping[str, GraphBreaks]) -> Iterator[tuple[str, ...]]:
    for name, row in rows.items():
        yield name, row.backbone, str(len(row.training)), str(len(row.features))
