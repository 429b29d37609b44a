"""Progress display of ``demo`` and ``run``. No subcommand."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mim_bench.errors import RecordError
from mim_bench.results.store import read_record
from mim_bench.suite.execute import LOG_FILE, Listener
from mim_bench.suite.progress import Pulse, describe_progress, seconds_left
from mim_bench.suite.steps import Step

_REFRESH_S = 1.0
# A run that beats no more for so long is shown as silent; a long evaluation is, too.
_SILENT_S = 120.0


def suite_view(console: Console, folder: Path, workers: int = 1) -> 'SuiteView':
    """The display for a console: a live table in a terminal, lines elsewhere.

    Args:
        console: Console to print to.
        folder: Root of the steps' folders.
        workers: Steps at a time.
    """
    kind = LiveView if console.is_terminal else SuiteView
    return kind(console, folder, workers)


class SuiteView(Listener):
    """Prints a line when a step starts and when it ends; failures with the end of their log."""

    def __init__(self, console: Console, folder: Path, workers: int) -> None:
        self.console, self.folder, self.workers = console, folder, workers
        self.plan: Sequence[Step] = ()
        self.ended = 0
        self.running: dict[str, float] = {}
        self._took: dict[str, float] = {}

    def __enter__(self) -> 'SuiteView':
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no resource is open."""

    def planned(self, steps: Sequence[Step]) -> None:
        """See :class:`Listener`."""
        self.plan = steps

    def started(self, step: Step, attempt: int) -> None:
        """See :class:`Listener`."""
        self.running.setdefault(step.name, time.monotonic())
        again = f' (attempt {attempt})' if attempt > 1 else ''
        self._line(f'  [dim]start[/] {step.name}{again}')

    def waiting(self, step: Step) -> None:
        """See :class:`Listener`."""
        self._line(f'  [dim]wait [/] {step.name}: another suite runs it')

    def taken(self, step: Step) -> None:
        """See :class:`Listener`."""
        self.ended += 1
        self._line(
            f'  [green]there[/] {step.name} (by another suite) [{self.ended}/{len(self.plan)}]'
        )

    def retrying(self, step: Step, error: str) -> None:
        """See :class:`Listener`."""
        self._line(f'  [yellow]again[/] {step.name}: {error.splitlines()[-1]}')

    def interrupted(self, step: Step, times: int) -> None:
        """See :class:`Listener`."""
        self._line(f'  [yellow]again[/] {step.name}: interrupted (time {times}), it resumes')

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """See :class:`Listener`."""
        self.ended += 1
        self.running.pop(step.name, None)
        self._took[step.name] = seconds
        mark = '[green]done [/]' if error is None else '[red]FAILED[/]'
        place = f'({seconds:.0f} s) [{self.ended}/{len(self.plan)}]{self.time_left()}'
        self._line(f'  {mark} {step.name} {place}')
        if error is not None:
            self.console.print(error, markup=False, highlight=False)
        elif scores := _scores(step):
            self._line(f'        [bold]{scores}[/]')

    def time_left(self) -> str:
        """Time left of the plan, for the end of a line; '' if unknown."""
        runs_for = {name: time.monotonic() - began for name, began in self.running.items()}
        seconds = seconds_left(self.plan, self._took, runs_for, self.workers)
        return '' if seconds is None else f', about {_duration(seconds)} left'

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


class LiveView(SuiteView):
    """Prints the same lines above a live table of running steps with progress and time left."""

    def __init__(self, console: Console, folder: Path, workers: int) -> None:
        super().__init__(console, folder, workers)
        self.others: set[str] = set()
        self._pulses: dict[str, Pulse] = {}
        self._shown = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> 'LiveView':
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, step: Step, attempt: int) -> None:
        """See :class:`Listener`."""
        self.running.setdefault(step.name, time.monotonic())
        if step.work_dir is not None:
            self._pulses[step.name] = Pulse(step.work_dir)
        if attempt > 1:
            super().started(step, attempt)

    def waiting(self, step: Step) -> None:
        """See :class:`Listener`."""
        self.others.add(step.name)

    def taken(self, step: Step) -> None:
        """See :class:`Listener`."""
        self.others.discard(step.name)
        super().taken(step)

    def tick(self) -> None:
        """Redraw the table, at most once a second."""
        if time.monotonic() - self._shown >= _REFRESH_S:
            self._shown = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        title = f'{self.ended} of {len(self.plan)} steps ended{self.time_left()}'
        table = Table(title=title, title_justify='left')
        table.add_column('runs', overflow='fold')
        table.add_column('for', justify='right', no_wrap=True)
        table.add_column('progress')
        for heading in ('loss', 'img/s', 'left'):
            table.add_column(heading, justify='right', no_wrap=True)
        for name, began in self.running.items():
            cells = [Text(cell) for cell in self._progress(name)]
            table.add_row(Text(name), _duration(time.monotonic() - began), *cells)
        for name in sorted(self.others - set(self.running)):
            table.add_row(Text(name), '', 'another suite runs it')
        return table

    def _progress(self, name: str) -> tuple[str, ...]:
        """Place, loss, images a second and time left of a step, as far as they are known."""
        pulse = self._pulses.get(name)
        beat = pulse and pulse.feel()
        if beat is None:
            return (describe_progress(self.folder / name / LOG_FILE),)
        place = f'{beat.phase} {beat.done}/{beat.total}' if beat.total else beat.phase
        if pulse.silent_s > _SILENT_S:
            return (f'{place}, no sign for {_duration(pulse.silent_s)}',)
        return (
            place,
            '' if beat.loss is None else f'{beat.loss:.4g}',
            '' if beat.images_per_s is None else f'{beat.images_per_s:.4g}',
            '' if beat.seconds_left is None else _duration(beat.seconds_left),
        )


def _scores(step: Step) -> str:
    """The metrics that a step was run for, one of each of its records."""
    scores = []
    for path in step.records:
        try:
            record = read_record(path)
        except (OSError, RecordError):
            continue
        if name := record.primary_metric:
            scores.append(f'{name} {record.metrics[name].value:.1f}')
    return ', '.join(scores)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}'
