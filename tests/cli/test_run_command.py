import os
import subprocess
import time

import pytest
import torch

from mim_bench.cli.main import main
from mim_bench.results.collection import collect
from mim_bench.suite import dry_run
from mim_bench.testing.commands import ThisProcess
from mim_bench.testing.slurm_controller import FakeSlurm
from mim_bench.testing.toy_suites import measured, run_suite, suite_command

PROBES = 'in1k-knn,in1k-linear'
NAMES = ['toy-probe-tiny-s0-in1k-knn', 'toy-probe-tiny-s0-in1k-linear']


def test_run_takes_a_checkpoint_to_the_leaderboard(suite):
    assert suite.process.returncode == 0, suite.process.stderr
    assert sorted(measured(suite.out)) == NAMES
    assert '1 steps ran, 0 were done before, 0 failed' in suite.process.stdout
    assert 'tiny' in (suite.out / 'leaderboard' / 'leaderboard.md').read_text()


def test_run_again_launches_nothing_and_imports_no_torch(suite):
    record = suite.out / 'results' / NAMES[0] / 'record.json'
    before = record.stat().st_mtime_ns
    code = (
        'import sys; from mim_bench.cli.main import main; status = main(sys.argv[1:]); '
        "sys.exit(status or 'torch' in sys.modules)"
    )
    process = run_suite([suite.words[0], '-c', code, *suite.words[3:]])
    assert process.returncode == 0, process.stderr
    assert '0 steps ran, 1 were done before' in process.stdout
    assert record.stat().st_mtime_ns == before


def test_run_dry_run_starts_nothing_and_tells_what_it_takes(inputs, tmp_path, capsys, monkeypatch):
    # In this process: without the seconds that a new one imports.
    monkeypatch.setattr(dry_run, 'OwnProcess', ThisProcess)
    words = suite_command(tmp_path / 'out', inputs, PROBES, '--dry-run')[3:]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert '100.00%' in shown
    assert 'an extrapolation' in shown
    assert not (tmp_path / 'out' / 'results').exists()


@pytest.fixture
def half(inputs, tmp_path):
    """A suite of a probe and a detector, whose data are missing; and where it goes."""
    words = suite_command(tmp_path / 'out', inputs, 'in1k-knn,coco-htc-plus')
    words[words.index('--data-root') + 1] = f'in1k={inputs[0] / "imagenet"}'
    return words, tmp_path / 'out'


@pytest.mark.slow
def test_run_dry_run_one_that_cannot_start_leaves_the_others_and_fails(half, capsys):
    assert main([*half[0][3:], '--dry-run']) == 1
    shown = ' '.join(capsys.readouterr().out.split())
    assert '100.00%' in shown
    assert 'toy-probe-tiny-s0 cannot start:' not in shown
    assert 'toy-htc-plus-tiny-s0 cannot start:' in shown
    assert 'data/coco is not a folder' in shown


@pytest.mark.slow
def test_run_dry_run_of_a_training_shows_its_learning_rates(inputs, tmp_path, capsys):
    assert main(suite_command(tmp_path / 'out', inputs, 'in1k-ft', '--dry-run')[3:]) == 0
    shown = capsys.readouterr().out
    assert 'Learning rates of toy-ft-tiny-s0' in shown
    assert 'of full lr' in shown


@pytest.mark.slow
def test_run_failed_run_is_recorded_and_the_rest_goes_on(half):
    process = run_suite(half[0])
    assert process.returncode == 1
    collection = collect(half[1] / 'results')
    assert not collection.damaged
    records = {record.run_id: record for record in collection.records}
    assert records[NAMES[0]].status == 'done'
    failed = records['toy-htc-plus-tiny-s0']
    # It failed before its runner was there to write it.
    assert (failed.status, failed.task) == ('failed', 'coco-htc-plus')
    assert 'which is not a folder' in failed.error
    assert 'FAILED toy-htc-plus-tiny-s0' in process.stdout


@pytest.mark.slow
def test_run_killed_run_is_recorded_by_the_suite(inputs, tmp_path):
    out = tmp_path / 'out'
    # Ended long before its end, so it cannot write why.
    more = ('--timeout-hours', '0.0005')
    process = run_suite(suite_command(out, inputs, 'in1k-ft', *more))
    assert process.returncode == 1
    (record,) = collect(out / 'results').records
    assert (record.run_id, record.status) == ('toy-ft-tiny-s0', 'failed')
    assert 'that an attempt may take' in record.error
    assert run_suite(suite_command(out, inputs, 'in1k-ft')).returncode == 0
    (done,) = collect(out / 'results').records
    assert done.status == 'done'
    # What failed is a cell of the same column.
    assert done.protocol == record.protocol


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['--tasks', 'in1k-kn'], "Did you mean 'in1k-knn'"),
        (['--tasks', ''], "'' names no task"),
        (['--data-root', 'coko=x'], "'coko' is not a data set"),
        (['--data-root', 'x', 'y'], 'two folders of all data sets'),
        (['--data-root', 'coco=x'], '/x is not a folder'),
        (['--workers', '0'], '--workers 0'),
        (['--gpus-per-run', '0'], '--gpus-per-run 0'),
        (['--timeout-hours', '0'], '--timeout-hours'),
        (['--checkpoint', 'nowhere.pth'], 'there is no such checkpoint file'),
    ],
)
def test_run_wrong_arguments_are_one_message(tmp_path, capsys, words, message):
    base = ['run', '--suite', 'smoke', '--checkpoint', 'random:swin-toy', '--out', str(tmp_path)]
    assert main([*base, *words]) == 1
    error = ' '.join(capsys.readouterr().err.split())
    assert message in error
    assert 'Traceback' not in error


def test_run_time_of_the_command_line_is_that_of_the_jobs(tmp_path, capsys):
    (tmp_path / 'c.yml').write_text('defaults: {hours: 1, gpus_per_node: 1}\nlimits: {hours: 2}\n')
    words = ['run', '--suite', 'smoke', '--checkpoint', 'random:swin-toy', '--out', str(tmp_path)]
    words += ['--executor', 'command', '--submit-command', 'sub {script}', '--timeout-hours', '3']
    for more, hours in (([], '3'), (['--resources', 'hours=4'], '4')):
        assert main([*words, '--cluster', str(tmp_path / 'c.yml'), *more]) == 1
        error = capsys.readouterr().err
        assert f'asks for hours {hours}, but the cluster allows 2' in error
        assert 'has no time limit' not in error


@pytest.mark.parametrize('word', ['random:swin-tny', 'x=random:swin-tny'])
def test_run_misspelt_size_of_random_weights_is_refused_before_anything_is_planned(
    tmp_path, capsys, word
):
    out = tmp_path / 'out'
    words = ['run', '--suite', 'full', '--checkpoint', word, '--out', str(out), '--dry-run']
    assert main([*words, '--data-root', str(tmp_path)]) == 1
    error = ' '.join(capsys.readouterr().err.split())
    assert f"{word}: no backbone of the suite 'full' is named 'swin-tny'" in error
    assert "Did you mean 'swin-tiny'" in error
    assert not list(out.rglob('*.pth'))


@pytest.mark.parametrize('text', ['a', '0,0', '1,'])
def test_run_seeds_that_are_none_are_refused(text):
    with pytest.raises(SystemExit):
        main(['run', '--checkpoint', 'x', '--seeds', text])


@pytest.mark.slow
def test_run_through_slurm_gives_the_same_records(suite, tmp_path):
    pytest.importorskip('submitit')
    slurm = FakeSlurm(tmp_path / 'slurm', slots=2)
    words = [*suite.words, '--executor', 'slurm', '--resources', 'gpus_per_node=1', 'hours=1']
    words[words.index(str(suite.out))] = str(tmp_path / 'out')
    log = tmp_path / 'log.txt'
    with log.open('w') as output:
        environment = {**os.environ, **slurm.environment()}
        process = subprocess.Popen(words, env=environment, stdout=output, stderr=output)
        while process.poll() is None:
            slurm.tick()
            time.sleep(0.5)
    assert process.returncode == 0, log.read_text()
    assert measured(tmp_path / 'out') == measured(suite.out)
    assert {job['state'] for job in slurm.jobs().values()} == {'COMPLETED'}


@pytest.fixture
def shallow(inputs, tmp_path):
    """The checkpoint without its last stage: two stages, where dense tasks take three."""
    state = torch.load(inputs[1], weights_only=True)['state_dict']
    last = ('backbone.stages.2.', 'backbone.stages.1.downsample.')
    kept = {name: value for name, value in state.items() if not name.startswith(last)}
    torch.save({'state_dict': kept}, tmp_path / 'shallow.pth')
    return tmp_path / 'shallow.pth'


def test_run_size_that_a_task_cannot_take_is_refused_before_anything_is_launched(
    inputs, shallow, tmp_path, capsys
):
    words = suite_command(tmp_path / 'out', (inputs[0], shallow), 'in1k-knn,coco-htc-plus')[3:]
    assert main(words) == 1
    error = ' '.join(capsys.readouterr().err.split())
    assert 'toy-htc-plus-shallow-s0: ' in error
    assert 'the backbone Swin returns the maps [0, 1, 2] of 2' in error
    assert not (tmp_path / 'out' / 'steps').exists()


def test_run_whole_suite_leaves_out_what_a_size_cannot_take(
    inputs, shallow, tmp_path, capsys, monkeypatch
):
    planned = []
    monkeypatch.setattr('mim_bench.cli.run.run_plan', lambda plan, *_: planned.extend(plan) or 0)
    words = suite_command(tmp_path / 'out', (inputs[0], shallow), 'in1k-knn')[3:]
    at = words.index('--tasks')
    assert main([*words[:at], *words[at + 2 :]]) == 0
    names = {step.name.removesuffix('-shallow-s0') for step in planned}
    assert 'toy-ft' in names
    assert 'toy-htc-plus' not in names
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'toy-htc-plus-shallow-s0: ' in shown
