"""Suites of real toy runs: killed at any moment, and two at once on one folder."""

import csv
import random
import shutil
import subprocess
import time

import pytest

from mim_bench.results.collection import collect
from mim_bench.suite.launching import LocalLauncher
from mim_bench.suite.steps import Step
from mim_bench.testing.toy_suites import measured, run_suite, suite_command

pytestmark = pytest.mark.slow
TASKS = 'in1k-knn,in1k-linear,in1k-ft'
NUM_KILLS = 20
# The latest moment, as a share of the time that the suite takes undisturbed: what was done before
# a kill is not done again, so moments are spread over all of the suite.
LATEST = 0.4


@pytest.fixture(scope='module')
def command(inputs):
    def of(out):
        return suite_command(out, inputs, TASKS, '--seeds', '0,1', '--workers', '2')

    return of


@pytest.fixture(scope='module')
def undisturbed(command, tmp_path_factory):
    out = tmp_path_factory.mktemp('undisturbed') / 'out'
    began = time.monotonic()
    process = run_suite(command(out))
    assert process.returncode == 0, process.stdout + process.stderr
    return out, time.monotonic() - began


def board(out):
    """The leaderboard without what says when, and what it cost."""
    metrics = {name for record in collect(out / 'results').records for name in record.metrics}
    with (out / 'leaderboard' / 'leaderboard.csv').open(newline='') as file:
        rows = [row for row in csv.DictReader(file) if row['metric'] in metrics]
    assert {row['metric'] for row in rows} == metrics
    return [{key: value for key, value in row.items() if key != 'started_at'} for row in rows]


def wait_until_free(out):
    """Nothing of a killed suite runs any more when its steps can be claimed."""
    end, launcher = time.monotonic() + 60, LocalLauncher()
    for home in (out / 'steps').glob('*'):  # none yet if it was killed at once
        while (claim := launcher.claim(Step(home.name, ()), home)) is None:
            assert time.monotonic() < end, f'{home} is still claimed'
            time.sleep(0.05)
        claim.end()


def test_suite_killed_at_random_moments_ends_as_an_undisturbed_one(command, undisturbed, tmp_path):
    moments = random.Random(0)
    out, kills, completions = tmp_path / 'out', 0, 0
    wanted, latest = measured(undisturbed[0]), LATEST * undisturbed[1]
    while kills < NUM_KILLS:
        suite = subprocess.Popen(command(out), stdout=subprocess.DEVNULL)
        try:
            assert suite.wait(moments.uniform(0, latest)) == 0
        except subprocess.TimeoutExpired:
            suite.kill()
            suite.wait()
            kills += 1
            wait_until_free(out)
            found = measured(out)  # each record is valid or absent
            assert found.items() <= wanted.items()
        else:
            completions += 1
            assert measured(out) == wanted
            shutil.rmtree(out)
    assert run_suite(command(out)).returncode == 0
    assert measured(out) == wanted
    assert board(out) == board(undisturbed[0])
    print(f'{kills} kills, {completions} suites completed between them')


def test_two_suites_on_one_folder_share_the_runs(command, undisturbed, tmp_path):
    out = tmp_path / 'out'
    suites = [subprocess.Popen(command(out), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    texts = [suite.communicate()[0] for suite in suites]
    assert [suite.returncode for suite in suites] == [0, 0], texts
    assert measured(out) == measured(undisturbed[0])
    for record in collect(out / 'results').records:
        (log,) = [
            p for p in (out / 'steps').glob('*/log.txt') if record.run_id.startswith(p.parent.name)
        ]
        told = log.read_text(errors='replace').count(f'Record of {record.task}')
        assert told == 1, f'{record.run_id} was written {told} times'
