"""Damaged records, from the files to what a user sees of them."""

from dataclasses import replace

import numpy as np
import pytest

from mim_bench.cli.main import main
from mim_bench.results.outcomes import ClassAreas, Hits, ImageSet
from mim_bench.results.outcomes_file import write_outcomes
from mim_bench.results.store import record_to_json, write_record
from mim_bench.testing.records import make_checkpoint, make_record

GOOD = make_record(metrics={'knn_top1': 51.2}, run_id='good')
VALID = record_to_json(make_record(run_id='bad'))
# Folder -> text of its record, and what the report says about it.
DAMAGED = {
    'truncated': (VALID[: len(VALID) // 2], 'not valid JSON'),
    'empty': ('', 'not valid JSON'),
    'wrong-type': (VALID.replace('"value": 50.0', '"value": "50"'), 'metrics.knn_top1.value'),
    'nan': (VALID.replace('50.0', 'NaN'), 'should be a finite number, not nan'),
    'infinite': (VALID.replace('50.0', '1e999'), 'should be a finite number, not inf'),
    'future': (VALID.replace('"schema_version": 1', '"schema_version": 9'), 'schema_version is 9'),
    'versionless': (VALID.replace('"schema_version": 1', '"schema_version": null'), 'None'),
    'unknown-key': (VALID.replace('{', '{"extra": 1, ', 1), 'extra: nothing reads this key'),
    'no-object': ('[1, 2]', 'should be an object'),
    'deep': ('[' * 100_000, 'not valid JSON'),
    'bad-date': (VALID.replace('2026-01-01', '2026-02-30'), 'started_at'),
    'hostile <img src=x onerror=alert(1)>': ('{', 'not valid JSON'),
    'twin-1': (VALID.replace('"bad"', '"twin"'), 'also stands in twin-2/record.json'),
    'twin-2': (VALID.replace('"bad"', '"twin"'), 'also stands in twin-1/record.json'),
}


@pytest.fixture
def results(tmp_path):
    write_record(GOOD, tmp_path / 'results')
    for name, (text, _) in DAMAGED.items():
        folder = tmp_path / 'results' / name
        folder.mkdir()
        (folder / 'record.json').write_text(text, 'utf-8')
    return tmp_path / 'results'


def test_report_names_each_damaged_record_and_shows_the_rest(results, tmp_path, capsys):
    assert main(['report', str(results), '--out', str(tmp_path / 'out')]) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    page = (tmp_path / 'out' / 'leaderboard.html').read_text('utf-8')
    text = (tmp_path / 'out' / 'leaderboard.md').read_text('utf-8')
    for written in (printed, page, text):
        assert '51.2' in written
        assert f'{len(DAMAGED)} damaged' in written
        for name in DAMAGED:
            assert f'{name.partition(" ")[0]}' in written
    for name, (_, reason) in DAMAGED.items():
        assert f'left out: {name}/record.json: ' in printed
        assert reason in printed


@pytest.mark.parametrize('kind', ['hits', 'areas'])
def test_report_record_that_its_outcomes_contradict_is_left_out(kind, tmp_path, capsys):
    images = ImageSet(4, 'ab' * 32)
    outcomes = {
        'hits': Hits(images, {'top1': np.array([True, False, False, False])}),
        'areas': ClassAreas(images, 1, *np.array([[0], [0], [1], [2], [3]])),  # IoU of 1 / 4
    }[kind]
    task, metric = {'hits': ('in1k-ft', 'top1'), 'areas': ('ade20k-upernet', 'mIoU')}[kind]
    for name, value in (('measured', 25.04), ('edited', 83.5)):  # a record may be rounded
        record = make_record(task, {metric: value}, make_checkpoint(id=name), run_id=name)
        artifacts = replace(record.artifacts, outcomes='outcomes.npz')
        write_record(replace(record, artifacts=artifacts), tmp_path / 'results')
        write_outcomes(outcomes, tmp_path / 'results' / name)
    assert main(['report', str(tmp_path / 'results'), '--out', str(tmp_path / 'out')]) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert f'edited/record.json: the outcomes give {metric} = 25.000, the record 83.500' in printed
    for name in ('runs.csv', 'leaderboard.csv'):
        text = (tmp_path / 'out' / name).read_text('utf-8')
        assert 'measured' in text
        assert 'edited' not in text


def test_report_damaged_records_are_in_no_table(results, tmp_path):
    main(['report', str(results), '--out', str(tmp_path / 'out')])
    for name in ('runs.csv', 'leaderboard.csv'):
        text = (tmp_path / 'out' / name).read_text('utf-8')
        assert 'good' in text
        assert 'bad' not in text
        assert 'twin' not in text
    page = (tmp_path / 'out' / 'leaderboard.html').read_text('utf-8')
    assert '<img src=x' not in page


def test_report_every_record_damaged_fails_and_names_them(results, tmp_path, capsys):
    (results / 'good' / 'record.json').write_text('{')
    assert main(['report', str(results), '--out', str(tmp_path / 'out')]) == 1
    message = capsys.readouterr().err
    assert 'every record is damaged' in message
    assert 'future/record.json: schema_version is 9, this mim_bench reads 1' in message
    assert not (tmp_path / 'out').exists()
