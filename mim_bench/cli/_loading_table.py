"""The table of ``mim-bench profile --loader``. No subcommand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mim_bench.profiling.loading import Loading


def loading_table(found: Sequence['Loading'], train_speed: float) -> Table:
    """A row a config, and below it the share of each step."""
    caption = (
        'Medians of the turns. A core: by CPU time. A process: by the clock. Speed: that of a core '
        'over the first row. Steps: shares of the CPU time.'
    )
    table = Table(title='Loading of training images', caption=caption, caption_justify='left')
    table.add_column('config', overflow='fold', ratio=1)
    head, *rows = _rows(found, train_speed)
    for name in head[1:-1]:
        table.add_column(name, justify='right')
    table.add_column(head[-1], overflow='fold', ratio=1)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def loading_markdown(found: Sequence['Loading'], train_speed: float) -> str:
    """The same as a table of Markdown."""
    head, *rows = _rows(found, train_speed)
    lines = [head, ['---', *['---:'] * (len(head) - 2), '---'], *rows]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines)


def _rows(found: Sequence['Loading'], train_speed: float) -> list[list[str]]:
    from mim_bench.profiling.loading import step_shares

    workers = list(found[0].loader_img_per_s)
    head = ['config', 'img/s a core', 'speed', 'img/s a process']
    head += [f'loader of {count}' for count in workers]
    rows = [[*head, f'cores for {train_speed:,.0f} img/s', 'steps']]
    for loading in found:
        cells = [
            loading.name,
            f'{loading.img_per_s_core:,.0f}',
            f'{loading.img_per_s_core / found[0].img_per_s_core:.2f} x',
            f'{loading.img_per_s_process:,.0f}',
            *(f'{loading.loader_img_per_s[count]:,.0f}' for count in workers),
            f'{loading.cores_for(train_speed):.1f}',
        ]
        steps = ', '.join(f'{name} {share:.0%}' for name, share in step_shares(loading))
        rows.append([*cells, steps])
    return rows
