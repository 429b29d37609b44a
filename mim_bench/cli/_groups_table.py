"""The table of ``mim-bench train --print-groups``. No subcommand."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mim_bench.errors import first_of

if TYPE_CHECKING:
    from mim_bench.recipe.optimizer_groups import LayerGroup

NUM_NAMES = 2


def groups_table(groups: 'list[LayerGroup]') -> Table:
    """The table, a row a parameter group of a layer: rate, weight decay, size, first names."""
    total = sum(group.num_parameters for group in groups)
    table = Table(
        title=f'{total:,} parameters',
        caption='Learning rates are those before the schedule.',
        caption_justify='left',
    )
    for name in ('layer', 'lr', 'of full lr', 'weight decay', 'parameters'):
        table.add_column(name, justify='right', no_wrap=True)
    table.add_column('names', overflow='fold', ratio=1)
    for group in groups:
        table.add_row(
            '-' if group.layer is None else str(group.layer),
            f'{group.lr:.3g}',
            f'{group.lr_scale:.4f}',
            f'{group.weight_decay:g}',
            f'{group.num_parameters:,}',
            Text(first_of(group.names, NUM_NAMES)),
        )
    return table
