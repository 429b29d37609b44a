import io

import pytest
from rich.console import Console

from mim_bench.cli import _suite_view as module
from mim_bench.cli._suite_view import LiveView, suite_view
from mim_bench.engine.heartbeat import Heartbeat
from mim_bench.suite.progress import Pulse, seconds_left
from mim_bench.suite.steps import Step

A, B = Step('a', ('train',)), Step('b', ('train',))


@pytest.fixture
def view(tmp_path, monkeypatch):
    """A view of two steps, and what it has printed."""
    monkeypatch.setattr(module, '_REFRESH_S', 0.0)

    def make(is_terminal):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
        shown = suite_view(console, tmp_path)
        shown.planned([A, B])
        return shown, console.file.getvalue

    return make


def test_view_without_a_terminal_prints_a_line_for_each_event(view):
    shown, printed = view(False)
    with shown:
        shown.started(A, 1)
        shown.retrying(A, 'long log\n(exit status 3)')
        shown.started(A, 2)
        shown.finished(A, 61.4, 'why it failed')
        shown.waiting(B)
        shown.tick()
        shown.taken(B)
    assert printed().splitlines() == [
        '  start a',
        '  again a: (exit status 3)',
        '  start a (attempt 2)',
        '  FAILED a (61 s) [1/2]',
        'why it failed',
        '  wait  b: another suite runs it',
        '  there b (by another suite) [2/2]',
    ]


def test_view_in_a_terminal_shows_what_runs_how_far_it_is_and_failures_at_once(view, tmp_path):
    shown, printed = view(True)
    assert isinstance(shown, LiveView)
    (tmp_path / 'a').mkdir()
    log = 'Epoch(train) [3][20/46]  lr: 1e-3  eta: 0:01:10  time: 0.1\n'
    (tmp_path / 'a' / 'log.txt').write_text(log)
    with shown:
        shown.started(A, 1)
        shown.waiting(B)
        shown.tick()
        text = printed()
        for part in (
            '0 of 2 steps ended',
            'train [3][20/46], 0:01:10 left',
            'another suite runs it',
        ):
            assert part in text
        shown.finished(A, 5, 'why it failed')
        assert 'why it failed' in printed()
        shown.taken(B)
        shown.tick()
        assert '2 of 2 steps ended' in printed()


def test_view_in_a_terminal_shows_the_heartbeat_of_a_run(view, tmp_path):
    shown, printed = view(True)
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    Heartbeat('train', 1, 9, 'then', loss=77.0).write(work_dir)  # of an earlier start
    with shown:
        shown.started(Step('a', ('train',), work_dir=work_dir), 1)
        shown.tick()
        assert '77' not in printed()
        Heartbeat('train', 120, 300, 'now', 0.68712, 5301.4, 70.0).write(work_dir)
        shown.tick()
    for part in ('train 120/300', '0.6871', '5301', '0:01:10'):
        assert part in printed()


def test_pulse_tells_how_long_a_run_is_silent(tmp_path):
    now = 0.0
    pulse = Pulse(tmp_path, lambda: now)
    assert pulse.feel() is None
    Heartbeat('val', 1, 9, 'now').write(tmp_path)
    now = 10.0
    assert pulse.feel().done == 1
    now = 150.0
    pulse.feel()
    assert pulse.silent_s == 140


def test_time_left_is_what_the_other_steps_take_on_a_machine_as_slow_as_this_one():
    plan = [Step('a', (), seconds=10), Step('b', (), seconds=40), Step('c', (), seconds=20)]
    # a took twice as long, so b and c take 120 s, of which c has done 30.
    assert seconds_left(plan, {'a': 20.0}, {'c': 30.0}, workers=1) == 90
    assert seconds_left(plan, {'a': 20.0}, {'c': 30.0}, workers=2) == 80  # b alone
    assert seconds_left(plan, {}, {}, workers=1) is None
    assert seconds_left([*plan, Step('d', ())], {'a': 20.0}, {}, workers=1) is None


def test_view_name_with_markup_stays_text(view):
    shown, printed = view(True)
    with shown:
        shown.started(Step('[red]x[/]', ('train',)), 1)
        shown.tick()
    assert '[red]x[/]' in printed()
