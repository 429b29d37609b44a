"""The tables of ``mim-bench profile``, one for each kind of measurement. No subcommand."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, NamedTuple

from rich.table import Table
from rich.text import Text

from mim_bench.cli._console import markdown_rows

if TYPE_CHECKING:
    from mim_bench.profiling.comparison import Comparison, Profile, Spread
    from mim_bench.profiling.estimate import StepEstimate
    from mim_bench.profiling.graph_breaks import GraphBreaks
    from mim_bench.profiling.loading import Loading

MIB = 2**20
_GIB = 2**30
GIGA = 1e9
_FLOPS_NOTE = (
    'GFLOP/img is of forward and backward; a multiply-add is two operations, while papers mostly '
    'give multiply-adds of the forward pass, about a sixth.'
)
_BREAK_COLUMNS = ('training step', 'backbone without a mask')


class EstimateRow(NamedTuple):
    """A config and its estimate."""

    name: str
    estimate: 'StepEstimate'


def three_digits(number: float) -> str:
    """The three first digits of a number, all whole ones of a larger one: no exponent."""
    return f'{number:,.0f}' if number >= 100 else f'{number:.3g}'


def profile_table(comparison: 'Comparison') -> Table:
    """The table of measured steps, a row a config; the caption explains the numbers."""
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
        f'precision reaches {reference:,.0f} GFLOP/s in this run. {_FLOPS_NOTE}'
    )
    columns = ['img/s', 'speed', 'peak MiB', 'params M', 'GFLOP/img', 'GFLOP/s', 'of product']
    table = _table_of_numbers(
        title, caption, columns + (['largest batch'] if plan.finds_batch else [])
    )
    for profile in comparison.profiles:
        table.add_row(Text(profile.name), *_profile_cells(profile, plan.finds_batch))
    return table


def _profile_cells(profile: 'Profile', has_batch: bool) -> list[str]:
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


def estimate_table(rows: Sequence[EstimateRow], tflops: float) -> Table:
    """The table of ``--estimate``, a row a config; title and caption explain the numbers."""
    table = _table_of_numbers('Estimated, not measured', estimate_caption(tflops), _estimate_head())
    for row in rows:
        table.add_row(Text(row.name), *_estimate_cells(row.estimate, tflops))
    return table


def estimate_markdown(rows: Sequence[EstimateRow], tflops: float) -> str:
    """The same as Markdown."""
    head = _estimate_head()
    lines = [['config', *head], ['---', *['---:'] * len(head)]]
    lines += [[f'`{row.name}`', *_estimate_cells(row.estimate, tflops)] for row in rows]
    return f'{markdown_rows(lines)}\n{estimate_caption(tflops)}\n'


def estimate_caption(tflops: float) -> str:
    """The caption: what is estimated, and from what."""
    return (
        'One GPU at the peak of a step, in GiB: the tensors by their shapes, without what CUDA, '
        'workspaces and fragmentation take. Hours are those of the recipe on its GPUs, from the '
        f'operations alone, at {tflops:g} TFLOP/s a GPU, which is an assumption. {_FLOPS_NOTE}'
    )


def _estimate_head() -> list[str]:
    from mim_bench.profiling.step_trace import MemoryParts  # imports torch

    parts = [field.name for field in fields(MemoryParts)]
    columns = ['precision', 'batch', 'GPUs', 'GiB', *parts, 'buckets']
    return [*columns, 'params M', 'GFLOP/img', 'hours']


def _estimate_cells(estimate: 'StepEstimate', tflops: float) -> list[str]:
    hours = estimate.hours(tflops)
    memory = estimate.memory
    sizes = [estimate.total_bytes, *(getattr(memory, part.name) for part in fields(memory))]
    return [
        estimate.precision,
        str(estimate.batch_size),
        str(estimate.processes),
        *(f'{size / _GIB:.2f}' for size in (*sizes, estimate.bucket_bytes)),
        f'{estimate.num_parameters / 1e6:.1f}',
        three_digits(estimate.flops_step / GIGA),
        'unknown' if hours is None else three_digits(hours),
    ]


def graph_break_table(rows: Mapping[str, 'GraphBreaks']) -> Table:
    """The table of ``--graph-breaks``, a row a config; the caption lists the reasons."""
    reasons = sorted({reason for row in rows.values() for reason in (*row.training, *row.features)})
    caption = '\n'.join(['Graph breaks of torch.compile.', *reasons])
    table = Table(caption=Text(caption), caption_justify='left')
    for name in ('config', 'backbone'):
        table.add_column(name, overflow='fold')
    for name in _BREAK_COLUMNS:
        table.add_column(name, justify='right')
    for cells in _break_cells(rows):
        table.add_row(*map(Text, cells))
    return table


def graph_break_markdown(rows: Mapping[str, 'GraphBreaks']) -> str:
    """The same as Markdown, without the reasons."""
    lines = [('config', 'backbone', *_BREAK_COLUMNS), ('---', '---', '---:', '---:')]
    return markdown_rows([*lines, *((f'`{name}`', *cells) for name, *cells in _break_cells(rows))])


def _break_cells(rows: Mapping[str, 'GraphBreaks']) -> Iterator[tuple[str, ...]]:
    for name, row in rows.items():
        yield name, row.backbone, str(len(row.training)), str(len(row.features))


def hook_table(config: str, times: Mapping[int, Mapping[str, float]]) -> Table:
    """The table of ``--hooks``: host milliseconds an iteration of each hook.

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


def loading_table(found: Sequence['Loading'], train_speed: float) -> Table:
    """The table of ``--loader``: a row a config, with the share of each step."""
    caption = (
        'Medians of the turns. A core: by CPU time. A process: by the clock. Speed: that of a core '
        'over the first row. Steps: shares of the CPU time.'
    )
    table = Table(title='Loading of training images', caption=caption, caption_justify='left')
    table.add_column('config', overflow='fold', ratio=1)
    head, *rows = _loading_rows(found, train_speed)
    for name in head[1:-1]:
        table.add_column(name, justify='right')
    table.add_column(head[-1], overflow='fold', ratio=1)
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def loading_markdown(found: Sequence['Loading'], train_speed: float) -> str:
    """The same as Markdown."""
    head, *rows = _loading_rows(found, train_speed)
    return markdown_rows([head, ['---', *['---:'] * (len(head) - 2), '---'], *rows])


def _loading_rows(found: Sequence['Loading'], train_speed: float) -> list[list[str]]:
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


def _table_of_numbers(title: str, caption: str, columns: Iterable[str]) -> Table:
    """A table that has a config, and numbers that stay on one line, in each row."""
    table = Table(title=title, caption=caption, caption_justify='left')
    table.add_column('config', overflow='fold', ratio=1)
    for name in columns:
        table.add_column(name, justify='right', no_wrap=True)
    return table
