"""The table of ``mim-bench profile``. No subcommand."""

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from mim_bench.profiling.comparison import Comparison, Profile, Spread

MIB = 2**20
GIGA = 1e9
FLOPS_NOTE = (
    'GFLOP/img is of forward and backward; a multiply-add is two operations, while papers mostly '
    'give multiply-adds of the forward pass, about a sixth.'
)


def three_digits(number: float) -> str:
    """The three first digits of a number, all whole ones of a larger one: no exponent."""
    return f'{number:,.0f}' if number >= 100 else f'{number:.3g}'


def profile_table(comparison: 'Comparison') -> Table:
    """The table, a row a config; the caption explains the numbers."""
    plan = comparison.plan
    title = (
        f'{plan.settings.device}, {plan.settings.precision}, batch {plan.batch_size}, '
        + ('forward + backward' + (' + optimiser' if plan.settings.has_optimizer else ''))
        + (', compiled' if plan.settings.is_compiled else '')
        + (f', {plan.threads} threads' if plan.threads else '')
    )
    reference = comparison.reference_flop_per_s.median / GIGA
    caption = (
        f'Median of {plan.repeats} turns; in brackets the quartiles. A matrix product of the same '
        f'precision reaches {reference:,.0f} GFLOP/s in this run. {FLOPS_NOTE}'
    )
    table = Table(title=title, caption=caption, caption_justify='left')
    table.add_column('config', overflow='fold', ratio=1)
    columns = ['img/s', 'speed', 'peak MiB', 'params M', 'GFLOP/img', 'GFLOP/s', 'of product']
    for name in columns + (['largest batch'] if plan.finds_batch else []):
        table.add_column(name, justify='right', no_wrap=True)
    for profile in comparison.profiles:
        table.add_row(Text(profile.name), *_cells(profile, plan.finds_batch))
    return table


def _cells(profile: 'Profile', has_batch: bool) -> list[str]:
    cells = [
        _with_spread(profile.img_per_s),
        f'{profile.ratio.median:.2f} x',
        f'{profile.peak_mem_bytes / MIB:,.0f}',
        f'{profile.num_parameters / 1e6:.1f}',
        three_digits(profile.flops_step / GIGA),
        f'{profile.flop_per_s / GIGA:,.0f}',
        f'{profile.share_of_reference:.0%}',
    ]
    return cells + ([str(profile.largest_batch)] if has_batch else [])


def _with_spread(spread: 'Spread') -> str:
    digits = 2 if spread.median < 100 else 0
    return f'{spread.median:,.{digits}f} ({spread.low:,.{digits}f}-{spread.high:,.{digits}f})'
