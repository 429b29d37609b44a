"""Progress display of ``demo`` and ``run``. No subcommand."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mim_bench.suite.execute import LOG_FILE, Listener
from mim_bench.suite.progress import describe_progress
from mim_bench.suite.steps import Step

_REFRESH_S = 1.0


def suite_view(console: Console, plan: Sequence[Step], folder: Path) -> 'SuiteView':
    """The display for a console: a live table in a terminal, lines elsewhere.

    Args:
        console: Console to print to.
        plan: The steps.
        folder: Root of the steps' folders.
    """
    return LiveView(console, plan, folder) if console.is_terminal else SuiteView(console, plan)


class SuiteView(Listener):
    """Prints a line when a step starts and when it ends; failures with the end of their log."""

    def __init__(self, console: Console, plan: Sequence[Step]) -> None:
        self.console = console
        self.total = len(plan)
        self.ended = 0

    def __enter__(self) -> 'SuiteView':
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: no resource is open."""

    def started(self, step: Step, attempt: int) -> None:
        """See :class:`Listener`."""
        again = f' (attempt {attempt})' if attempt > 1 else ''
        self._line(f'  [dim]start[/] {step.name}{again}')

    def waiting(self, step: Step) -> None:
        """See :class:`Listener`."""
        self._line(f'  [dim]wait [/] {step.name}: another suite runs it')

    def taken(self, step: Step) -> None:
        """See :class:`Listener`."""
        self.ended += 1
        self._line(f'  [green]there[/] {step.name} (by another suite) [{self.ended}/{self.total}]')

    def retrying(self, step: Step, error: str) -> None:
        """See :class:`Listener`."""
        self._line(f'  [yellow]again[/] {step.name}: {error.splitlines()[-1]}')

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """See :class:`Listener`."""
        self.ended += 1
        mark = '[green]done [/]' if error is None else '[red]FAILED[/]'
        self._line(f'  {mark} {step.name} ({seconds:.0f} s) [{self.ended}/{self.total}]')
        if error is not None:
            self.console.print(error, markup=False, highlight=False)

    def _line(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)


class LiveView(SuiteView):
    """Prints the same lines above a live table of running steps with progress and time left."""

    def __init__(self, console: Console, plan: Sequence[Step], folder: Path) -> None:
        super().__init__(console, plan)
        self.folder = folder
        self.running: dict[str, float] = {}
        self.others: set[str] = set()
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
        if attempt > 1:
            super().started(step, attempt)

    def waiting(self, step: Step) -> None:
        """See :class:`Listener`."""
        self.others.add(step.name)

    def taken(self, step: Step) -> None:
        """See :class:`Listener`."""
        self.others.discard(step.name)
        super().taken(step)

    def finished(self, step: Step, seconds: float, error: str | None) -> None:
        """See :class:`Listener`."""
        self.running.pop(step.name, None)
        super().finished(step, seconds, error)

    def tick(self) -> None:
        """Redraw the table, at most once a second."""
        if time.monotonic() - self._shown >= _REFRESH_S:
            self._shown = time.monotonic()
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        table = Table(title=f'{self.ended} of {self.total} steps ended', title_justify='left')
        table.add_column('runs', overflow='fold')
        table.add_column('for', justify='right', no_wrap=True)
        table.add_column('progress')
        for name, began in self.running.items():
            progress = describe_progress(self.folder / name / LOG_FILE)
            table.add_row(Text(name), _duration(time.monotonic() - began), Text(progress))
        for name in sorted(self.others - set(self.running)):
            table.add_row(Text(name), '', 'another suite runs it')
        return table


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}'
