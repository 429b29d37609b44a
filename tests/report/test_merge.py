"""Several folders of results as one board, and what the check of them finds."""

from dataclasses import replace

import pytest

from mim_bench.cli.main import main
from mim_bench.errors import RecordError
from mim_bench.report.build import build_leaderboard
from mim_bench.report.formats import render_markdown
from mim_bench.results.merging import folder_names, merge_folders
from mim_bench.results.record import Artifacts, Picture
from mim_bench.results.store import write_record
from mim_bench.testing.records import make_checkpoint, make_protocol, make_record

OTHER = make_checkpoint(id='other', method='simmim', sha256='cd' * 32)


@pytest.fixture
def folders(tmp_path):
    """Writes records to ours/results and theirs/results, and returns the two folders."""

    def write(ours, theirs):
        found = []
        for name, records in (('ours', ours), ('theirs', theirs)):
            found.append(tmp_path / name / 'results')
            for record in records:
                write_record(record, found[-1])
        return found

    return write


def test_folder_names_are_the_shortest_that_differ(tmp_path):
    paths = [tmp_path / 'a' / 'results', tmp_path / 'b' / 'results']
    assert folder_names(paths) == ['a', 'b']
    assert folder_names([tmp_path / 'x', tmp_path / 'y']) == ['x', 'y']
    with pytest.raises(RecordError, match='given twice'):
        folder_names([tmp_path, tmp_path])


def test_merge_rows_stay_apart_and_say_where_they_come_from(folders):
    merged = merge_folders(folders([make_record()], [make_record(metrics={'knn_top1': 51.0})]))
    board = build_leaderboard(merged)
    assert list(board.rows['folder'].items()) == [
        ('swin-tiny.ummae-10e (theirs)', 'theirs'), ('swin-tiny.ummae-10e (ours)', 'ours'),
    ]  # fmt: skip
    # One protocol: one column, in which the folders rank against each other.
    assert list(board.rows['Mean rank']) == [1.0, 2.0]
    assert 'merged from ours, theirs' in render_markdown(board)


def test_merge_runs_that_stand_in_both_are_kept_once(folders):
    merged = merge_folders(folders([make_record()], [make_record(), make_record('in1k-ft')]))
    assert len(merged.records) == 2
    assert ('same', '1 run(s) of theirs are those of ours; kept once') in merged.notes


@pytest.mark.parametrize(
    ('values', 'verdict'),
    [
        (([50.0], [50.2]), 'agree'),  # within 0.3 points
        (([33.1], [32.8]), 'agree'),
        (([50.0], [55.0]), 'untested'),
        (([50.0, 50.1, 50.2], [55.0, 55.1, 55.2]), 'differ'),
        (([50.0, 60.0, 55.0], [52.0, 61.0, 56.0]), 'agree'),  # Welch: p far above 0.05
    ],
)
def test_merge_checks_numbers_of_one_file_under_one_protocol(folders, values, verdict):
    runs = [
        [
            make_record('in1k-ft', {'top1': value}, seed=seed, run_id=f's{seed}')
            for seed, value in enumerate(side)
        ]
        for side in values
    ]
    ((kind, text),) = merge_folders(folders(*runs)).notes
    assert (kind, text.split(':')[1]) == (verdict, ' in1k-ft top1')


def test_merge_has_no_tolerance_for_shares(folders):
    runs = [make_record('in1k-ft', {'top1': value}) for value in (0.8, 0.6)]
    shares = [
        [replace(run, metrics={'top1': replace(run.metrics['top1'], unit='')})] for run in runs
    ]
    ((kind, _),) = merge_folders(folders(*shares)).notes
    assert kind == 'untested'


def test_merge_names_protocols_that_were_changed_under_one_name(folders):
    changed = make_record(checkpoint=OTHER, protocol=make_protocol(neighbours=5))
    ((kind, text),) = merge_folders(folders([make_record()], [changed])).notes
    assert kind == 'protocol'
    assert 'in1k-knn version 1 (full) has several hashes' in text


def test_merge_of_a_protocol_with_a_hash_of_each_task_and_start_has_no_note(folders):
    runs = [
        make_record(task, {metric: 50.0}, who, protocol=make_protocol('probe', task=task, saw=saw))
        for task, metric in (('in1k-knn', 'knn_top1'), ('in1k-linear', 'linear_top1'))
        for who, saw in ((None, False), (OTHER, True))
    ]
    assert merge_folders(folders(runs, runs[:1] + runs[2:3])).notes[1:] == []


def test_merge_damaged_records_are_named_with_their_folder(folders):
    paths = folders([make_record()], [make_record(checkpoint=OTHER)])
    (paths[1] / 'bad').mkdir()
    (paths[1] / 'bad' / 'record.json').write_text('{')
    assert [file.path for file in merge_folders(paths).damaged] == ['theirs/bad/record.json']


def test_merge_finds_the_files_of_each_run_of_one_id(folders):
    shown = Artifacts(pictures=[Picture('a.png', 'detection', 'x')])
    records = [
        make_record(artifacts=shown),
        make_record(metrics={'knn_top1': 9.0}, artifacts=shown),
    ]
    paths = folders([records[0]], [records[1]])
    merged = merge_folders(paths)
    found = [merged.artifact_path(record, 'a.png') for record in merged.records]
    assert found == [
        path.resolve() / record.run_id / 'a.png'
        for path, record in zip(paths, merged.records, strict=True)
    ]


def test_report_of_several_folders_needs_merge(folders, tmp_path, capsys):
    paths = folders([make_record()], [make_record(checkpoint=OTHER, seed=1)])
    words = ['report', *map(str, paths), '--out', str(tmp_path / 'out')]
    assert main(words) == 1
    assert 'Add --merge' in capsys.readouterr().err
    assert main([*words, '--merge']) == 0
    page = (tmp_path / 'out' / 'leaderboard.html').read_text('utf-8')
    assert 'data-folder="theirs"' in page
    labels = ['other (theirs)', 'swin-tiny.ummae-10e (ours)']
    assert main(['report', *map(str, paths), '--merge', '--compare', *labels]) == 0
    assert 'same protocol: in1k-knn' in capsys.readouterr().out


def test_report_links_that_are_no_addresses_are_refused(folders, tmp_path, capsys):
    paths = folders([make_record()], [])
    links = tmp_path / 'links.yml'
    links.write_text('mae: {paper: javascript:alert(1)}')
    words = ['report', str(paths[0]), '--out', str(tmp_path / 'out'), '--links', str(links)]
    assert main(words) == 1
    assert 'mae.paper: ' in capsys.readouterr().err
    links.write_text('ummae: {paper: https://example.org/p}')
    assert main(words) == 0
    assert 'https://example.org/p' in (tmp_path / 'out' / 'leaderboard.html').read_text('utf-8')
