import os

import pytest

from mim_bench.errors import MimBenchError, RecordError
from mim_bench.report.write import write_report
from mim_bench.results.store import write_record
from mim_bench.testing.disk import full_disk
from mim_bench.testing.records import make_pretraining_record, make_record

NAMES = [
    'leaderboard.csv',
    'leaderboard.html',
    'leaderboard.md',
    'leaderboard.tex',
    'model-index.yml',
    'published.csv',
    'runs.csv',
]


def _contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_write_report_same_records_give_the_same_bytes(tmp_path):
    for record in (make_record(), make_pretraining_record()):
        write_record(record, tmp_path / 'results')
    write_report(tmp_path / 'results', tmp_path / 'one')
    write_report(tmp_path / 'results', tmp_path / 'two')
    assert list(_contents(tmp_path / 'one')) == NAMES
    assert _contents(tmp_path / 'one') == _contents(tmp_path / 'two')


def test_write_report_disk_full_at_a_later_file_keeps_all_of_them(tmp_path, monkeypatch):
    write_record(make_record(), tmp_path / 'results')
    write_report(tmp_path / 'results', tmp_path / 'out')
    before = _contents(tmp_path / 'out')
    write_record(make_record(seed=1, run_id='new'), tmp_path / 'results')
    calls = []

    def third_fails(handle):
        calls.append(handle)
        if len(calls) == 3:
            full_disk(handle)

    monkeypatch.setattr(os, 'fsync', third_fails)
    with pytest.raises(MimBenchError, match=r'leaderboard.csv: No space left'):
        write_report(tmp_path / 'results', tmp_path / 'out')
    assert _contents(tmp_path / 'out') == before


def test_write_report_without_records_raises(tmp_path):
    (tmp_path / 'results').mkdir()
    with pytest.raises(RecordError, match=r'no record\.json below it'):
        write_report(tmp_path / 'results', tmp_path / 'out')
    assert not (tmp_path / 'out').exists()
