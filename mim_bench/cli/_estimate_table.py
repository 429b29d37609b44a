"""The tables of ``mim-bench profile --estimate``. No subcommand."""

from collections.abc import Sequence
from dataclasses import fields
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from mim_bench.cli._profile_table import FLOPS_NOTE, GIGA, three_digits
from mim_bench.profiling.estimate import StepEstimate
from mim_bench.profiling.step_trace import MemoryParts

_GIB = 2**30
_PARTS = [field.name for field in fields(MemoryParts)]
_COLUMNS = [
    'precision',
    'batch',
    'GPUs',
    'GiB',
    *_PARTS,
    'buckets',
    'params M',
    'GFLOP/img',
    'hours',
]


class Row(NamedTuple):
    """A config and its estimate."""

    name: str
    estimate: StepEstimate


def estimate_table(rows: Sequence[Row], tflops: float) -> Table:
    """The table, a row a config; title and caption explain the numbers."""
    table = Table(title='Estimated, not measured', caption=caption(tflops), caption_justify='left')
    table.add_column('config', overflow='fold', ratio=1)
    for name in _COLUMNS:
        table.add_column(name, justify='right', no_wrap=True)
    for row in rows:
        table.add_row(Text(row.name), *_cells(row.estimate, tflops))
    return table


def markdown_table(rows: Sequence[Row], tflops: float) -> str:
    """The table as Markdown."""
    lines = [['config', *_COLUMNS], ['---', *['---:'] * len(_COLUMNS)]]
    lines += [[f'`{row.name}`', *_cells(row.estimate, tflops)] for row in rows]
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in lines) + f'\n{caption(tflops)}\n'


def caption(tflops: float) -> str:
    """The caption: what is estimated, and from what."""
    return (
        'One GPU at the peak of a step, in GiB: the tensors by their shapes, without what CUDA, '
        'workspaces and fragmentation take. Hours are those of the recipe on its GPUs, from the '
        f'operations alone, at {tflops:g} TFLOP/s a GPU, which is an assumption. {FLOPS_NOTE}'
    )


def _cells(estimate: StepEstimate, tflops: float) -> list[str]:
    hours = estimate.hours(tflops)
    return [
        estimate.precision,
        str(estimate.batch_size),
        str(estimate.processes),
        _gib(estimate.total_bytes),
        *(_gib(getattr(estimate.memory, part)) for part in _PARTS),
        _gib(estimate.bucket_bytes),
        f'{estimate.num_parameters / 1e6:.1f}',
        three_digits(estimate.flops_step / GIGA),
        'unknown' if hours is None else three_digits(hours),
    ]


def _gib(num_bytes: int) -> str:
    return f'{num_bytes / _GIB:.2f}'
