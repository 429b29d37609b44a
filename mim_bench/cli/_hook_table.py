"""The table of ``mim-bench profile --hooks``. No subcommand."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from mim_bench.profiling.hook_time import HookTime


def hook_table(config: str, times: Mapping[int, Sequence[HookTime]]) -> Table:
    """Host milliseconds an iteration of each hook.

    Args:
        config: Shown above it.
        times: By batch size.
    """
    table = Table(title=f'{config}: host time of its hooks, ms an iteration', title_justify='left')
    table.add_column('hook')
    for size in times:
        table.add_column(f'batch {size}', justify='right')
    by_size = [{t.hook: 1000 * t.seconds for t in found} for found in times.values()]
    for hook in by_size[0]:
        table.add_row(hook, *(f'{found.get(hook, 0):.3f}' for found in by_size))
    table.add_section()
    table.add_row('all', *(f'{sum(found.values()):.3f}' for found in by_size))
    return table
