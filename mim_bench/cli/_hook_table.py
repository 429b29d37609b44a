"""The table of ``mim-bench profile --hooks``. No subcommand."""

from collections.abc import Mapping

from rich.table import Table


def hook_table(config: str, times: Mapping[int, Mapping[str, float]]) -> Table:
    """Host milliseconds an iteration of each hook.

    Args:
        config: Shown above it.
        times: Seconds of each hook, by batch size.
    """
    table = Table(title=f'{config}: host time of its hooks, ms an iteration', title_justify='left')
    table.add_column('hook')
    for size in times:
        table.add_column(f'batch {size}', justify='right')
    by_size = [{hook: 1000 * s for hook, s in found.items()} for found in times.values()]
    for hook in by_size[0]:
        table.add_row(hook, *(f'{found.get(hook, 0):.3f}' for found in by_size))
    table.add_section()
    table.add_row('all', *(f'{sum(found.values()):.3f}' for found in by_size))
    return table
