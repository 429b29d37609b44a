"""The tables of ``mim-bench run --dry-run``. No subcommand."""

from collections import defaultdict
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mim_bench.cli._groups_table import groups_table
from mim_bench.cli._profile_tables import GIGA, three_digits
from mim_bench.suite.dry_run import Estimate

_MOST_REASONS = 6


def print_estimates(estimates: Sequence[Estimate], console: Console) -> None:
    """Print the cost of each run, the learning rates of each config, and problems."""
    console.print(_estimates_table(estimates))
    shown = set()
    for estimate in estimates:
        groups = estimate.trial.groups if estimate.trial else ()
        # They do not depend on the seed, nor on the checkpoint within one architecture.
        rates = [(group.layer, group.lr, group.num_parameters) for group in groups]
        key = (estimate.step.words[1], tuple(rates))
        if groups and key not in shown:
            shown.add(key)
            console.print(Text(f'\nLearning rates of {estimate.step.name}'))
            console.print(groups_table(list(groups)))
    # Data that are not there stop many runs for one reason.
    stopped = defaultdict(list)
    for estimate in estimates:
        if not estimate.can_start:
            stopped[tuple(estimate.reasons)].append(estimate.step.name)
    for reasons, names in stopped.items():
        console.print(Text(f'\n{", ".join(names)} cannot start:', style='bold red'))
        for reason in reasons[:_MOST_REASONS]:
            console.print(reason, markup=False, highlight=False, soft_wrap=True)


_MEASURED = (
    'Hours are an extrapolation: the second of two measured steps, times the steps of the run. '
    'Loading data and evaluation are not in it, nor is waiting for other GPUs.'
)
_ESTIMATED = (
    'Rows marked "estimate" are not measured: their memory is that of the tensors of a step, by '
    'their shapes (without workspaces and fragmentation), and their time is the operations of the '
    'step (a multiply-add is two) at {tflops:g} TFLOP/s a GPU, which is an assumption '
    '(--assume-tflops).'
)


def _estimates_table(estimates: Sequence[Estimate]) -> Table:
    trials = [estimate.trial for estimate in estimates if estimate.trial]
    assumed = [trial.assumed_tflops for trial in trials if trial.assumed_tflops]
    caption = [_MEASURED] if len(assumed) < len(trials) or not trials else []
    caption += [_ESTIMATED.format(tflops=assumed[0])] if assumed else []
    table = Table(caption=' '.join(caption), caption_justify='left')
    table.add_column('run', overflow='fold')
    names = ('data', 'filled', 'processes', 'images a step', 'from', 'memory', 'GFLOP/img', 'step')
    for name in (*names, 'hours', 'GPU hours'):
        table.add_column(name, justify='right', no_wrap=True)
    for estimate in estimates:
        is_missing = estimate.trial and estimate.trial.missing
        data = 'missing' if is_missing else 'wrong' if estimate.data.problems else 'ok'
        style = None if estimate.can_start else 'red'
        table.add_row(Text(estimate.step.name), data, *_numbers(estimate), style=style)
    hours = [estimate.hours for estimate in estimates]
    if len(hours) > 1 and None not in hours:
        table.add_section()
        gpu_hours = _hours(sum(estimate.gpu_hours for estimate in estimates))
        table.add_row('all of them, one after the other', *[''] * 8, _hours(sum(hours)), gpu_hours)
    return table


def _numbers(estimate: Estimate) -> list[str]:
    trial = estimate.trial
    if trial is None:
        return ['', str(estimate.step.processes), *[''] * 5, 'cannot start']
    share, flops = trial.load_share, trial.flops_step
    return [
        'random' if share is None else f'{share:.2%}',
        str(estimate.step.processes),
        str(trial.images_per_step),
        'estimate' if trial.assumed_tflops else trial.device,
        f'{trial.memory_bytes / 2**30:.2f} GiB',
        '' if flops is None else three_digits(flops / GIGA),
        f'{trial.step_s:.3f} s',
        'unknown' if estimate.hours is None else _hours(estimate.hours),
        '' if estimate.gpu_hours is None else _hours(estimate.gpu_hours),
    ]


def _hours(hours: float) -> str:
    return f'{hours:.1f}' if hours >= 10 else f'{hours:.3g}'
