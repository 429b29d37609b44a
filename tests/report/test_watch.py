import itertools
import os
import signal
import subprocess
import sys

import pytest

from mim_bench.cli.main import main
from mim_bench.report.write import watch_report
from mim_bench.results.store import write_record
from mim_bench.testing.disk import full_disk
from mim_bench.testing.records import make_record


class StoppedError(Exception):
    """Stands in for Ctrl-C."""


@pytest.fixture
def watched(tmp_path):
    """Watches a folder; the steps happen while it sleeps, one after each look."""

    def watch(*steps):
        waiting = itertools.chain(steps, [stop])
        folder, out = tmp_path / 'results', tmp_path / 'out'
        lines = []
        refreshes = watch_report(folder, out, every=30, sleep=lambda _: next(waiting)())
        with pytest.raises(StoppedError):
            lines.extend(line for line, _ in refreshes)
        return lines

    def stop():
        raise StoppedError

    return watch


def add(folder, **changes):
    return lambda: write_record(make_record(**changes), folder)


def nothing():
    pass


def test_watch_report_writes_again_only_after_a_change(watched, tmp_path):
    folder = tmp_path / 'results'
    write_record(make_record(), folder)
    lines = watched(nothing, add(folder, seed=1, run_id='second'), nothing)
    assert [line.split(' · ')[1] for line in lines] == ['1 run', '2 runs']


def test_watch_report_waits_for_the_first_record(watched, tmp_path):
    lines = watched(nothing, add(tmp_path / 'results'), nothing)
    assert 'no such folder' in lines[0]
    assert lines[1].startswith('1 checkpoint')
    assert len(lines) == 2


def test_watch_report_page_loads_itself_again_until_the_end(tmp_path):
    write_record(make_record(), tmp_path / 'results')
    page = tmp_path / 'out' / 'leaderboard.html'
    watching = watch_report(tmp_path / 'results', tmp_path / 'out', every=30)
    next(watching)
    assert '<body data-reload="30">' in page.read_text('utf-8')
    watching.close()
    assert '<body>' in page.read_text('utf-8')


def test_watch_report_full_disk_is_told_and_tried_again(watched, tmp_path, monkeypatch):
    write_record(make_record(), tmp_path / 'results')
    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', full_disk)
        lines = watched(patch.undo)
    assert 'No space left' in lines[0]
    assert lines[1].startswith('1 checkpoint')


def _heed_interrupts():
    # Tests that a shell started in the background ignore SIGINT, and so would their children.
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_report_watch_prints_a_line_a_change_and_ctrl_c_ends_it_well(tmp_path):
    folder = tmp_path / 'results'
    write_record(make_record(), folder)
    words = ['report', str(folder), '--out', str(tmp_path / 'out'), '--watch', '--every', '0.1']
    command = [sys.executable, '-u', '-m', 'mim_bench.cli.main', *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=_heed_interrupts
    ) as process:
        try:
            lines = [process.stdout.readline() for _ in range(2)]
            write_record(make_record(seed=1, run_id='second'), folder)
            lines.append(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
    assert lines[0].startswith('Watching ')
    assert ['1 run' in lines[1], '2 runs' in lines[2]] == [True, True]
    assert '<body>' in (tmp_path / 'out' / 'leaderboard.html').read_text('utf-8')


@pytest.mark.parametrize('seconds', ['0', '-1', 'nan', 'soon'])
def test_report_every_that_is_no_time_is_used_wrongly(tmp_path, capsys, seconds):
    with pytest.raises(SystemExit, match='2'):
        main(['report', str(tmp_path), '--out', str(tmp_path), '--watch', f'--every={seconds}'])
    assert 'no number of seconds above 0' in capsys.readouterr().err
