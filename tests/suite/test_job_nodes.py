"""Where the nodes of a job meet, by what their schedulers tell them; status of many steps."""

import os
import time
from collections import Counter

import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite.job import Job, limited, meeting_of, this_node
from mim_bench.suite.job_book import DONE, FAILED, SUBMITTED, JobBook, Note
from mim_bench.suite.resources import Cluster, Resources
from mim_bench.suite.schedulers import CommandScheduler, SubmissionFailed, fill
from mim_bench.suite.status import read_states
from mim_bench.suite.steps import Step
from mim_bench.testing.commands import mim_bench


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    program = tmp_path / 'scontrol'
    program.write_text('#!/bin/sh\n[ "$3" = "n[4-5]" ] && printf "n4\\nn5\\n"\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}:{os.environ["PATH"]}')


def test_nodes_of_slurm_meet_on_the_first_of_the_step_at_a_port_of_the_job(scontrol):
    slurm = {
        'SLURM_JOB_ID': '20017', 'SLURM_JOB_NODELIST': 'n[1-9]', 'SLURM_STEP_NODELIST': 'n[4-5]',
        'SLURMD_NODENAME': 'n5', 'SLURM_NODEID': '1',
    }  # fmt: skip
    node = this_node(2, 'key', slurm)
    assert (node.is_first, node.first, node.own, node.port) == (False, 'n4', 'n5', 20017)
    job = Job('key', Step('a', ('train',), gpus=8, resources=Resources(nodes=2)), (), None)
    words = meeting_of(job, node)
    assert '--rdzv-endpoint=n4:20017' in words
    assert '--nnodes=2' in words
    assert '--local-addr=n5' in words
    assert any(word.startswith('--rdzv-conf=is_host=0') for word in words)


def test_nodes_of_other_schedulers_meet_on_the_first_of_their_list(tmp_path):
    (tmp_path / 'nodes').write_text('m1.site\nm2.site\n')
    node = this_node(2, 'key', {'PBS_NODEFILE': str(tmp_path / 'nodes')})
    assert (node.is_first, node.first) == (False, 'm1.site')
    assert this_node(2, 'key', {'MASTER_ADDR': 'x', 'NODE_RANK': '0'}).is_first
    with pytest.raises(ConfigError, match='Set MASTER_ADDR'):
        this_node(2, 'key', {})


def test_training_learns_its_limit_where_the_scheduler_does_not_tell_it():
    step = Step('a', ('train',), resources=Resources(hours=1.5))
    job = Job('key', step, ('train', 'c.py'), None)
    assert limited(job, {}) == ('train', 'c.py', '--time-limit', '1.5')
    assert limited(job, {'SLURM_JOB_END_TIME': '9'}) == ('train', 'c.py')


QUEUE = """#!/bin/sh
[ -e {folder}/full ] && {{ echo "the queue is full" >&2; exit 1; }}
echo "$@" >> {folder}/asked; echo "job 17.server"
"""


@pytest.fixture
def queue(tmp_path):
    (tmp_path / 'qsub').write_text(QUEUE.format(folder=tmp_path))
    (tmp_path / 'qsub').chmod(0o755)
    now = [0.0]
    template = f'{tmp_path}/qsub -N {{name}} -l walltime={{time}},mem={{memory_mb}}mb {{script}}'
    cluster = Cluster(
        executor='command', submit_command=template, after_option='-W depend=afterok:{after}'
    )
    found = CommandScheduler(cluster, lambda: now[0])
    found.now = now
    return found


def job_in(tmp_path):
    resources = Resources(hours=1.5, memory_gb=2.0)
    step = Step('a b', ('train',), gpus=1, resources=resources)
    return Job('key', step, ('train',), tmp_path / 'steps')


def test_command_submits_a_script_by_its_template(queue, tmp_path):
    job = job_in(tmp_path)
    assert queue.submit([job], ['3', '4']) == ['17.server']
    script = tmp_path / 'steps' / 'a b' / 'jobs' / 'key.job.sh'
    asked = (tmp_path / 'asked').read_text().strip()
    assert asked == f'-W depend=afterok:3:4 -N a b -l walltime=01:30:00,mem=2048mb {script}'
    assert 'mim_bench.suite.job' in script.read_text()
    (tmp_path / 'full').touch()
    with pytest.raises(SubmissionFailed, match='the queue is full'):
        queue.submit([job], [])


def test_command_without_a_word_on_states_watches_the_heartbeat(queue, tmp_path):
    job = job_in(tmp_path)
    job.file('beat').parent.mkdir(parents=True)

    def state():
        return queue.states({'17': job})['17']

    assert state() == 'PENDING'
    job.file('beat').write_text('1')
    assert state() == 'RUNNING'
    queue.now[0] += 200
    assert state() == 'RUNNING'
    queue.now[0] += 200
    assert state() == 'NODE_FAIL'
    job.file('beat').write_text('2')
    assert state() == 'RUNNING'
    job.file('end').write_text('{"status":0}')
    assert state() == 'COMPLETED'
    job.file('end').write_text('{"status":1}')
    assert state() == 'FAILED'


def test_template_that_names_what_nobody_knows_is_refused():
    with pytest.raises(ConfigError, match=r'It may name \{id\}'):
        fill('qdel {job}', {'id': '1'})


@pytest.mark.parametrize(
    ('words', 'message'),
    [
        (['status'], 'no step was submitted to a cluster from here'),
        (['cancel'], 'no step was submitted to a cluster from here'),
        (['cancel', 'step-b'], "no step 'step-b' was submitted from here. Did you mean 'step-a'?"),
    ],
)
def test_command_on_jobs_that_do_not_exist_is_an_error(words, message, tmp_path):
    if len(words) > 1:
        JobBook(tmp_path).change({'step-a': Note(DONE)})
    done = mim_bench(*words, '--out', tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


def test_status_of_a_job_is_done_for_its_own_inputs_only(tmp_path):
    note = Note(SUBMITTED, id='7', said='COMPLETED', fingerprint='now')
    JobBook(tmp_path).change({'step': note})
    kept = tmp_path / 'steps' / 'step' / 'fingerprint'
    kept.parent.mkdir(parents=True)
    for inputs, state in (('before', 'ended'), ('now', 'done')):
        kept.write_text(inputs)
        assert [step.state for step in read_states(tmp_path, ask=False)] == [state]


def test_status_of_a_thousand_steps_takes_less_than_a_second(tmp_path):
    kinds = (Note(DONE), Note(FAILED, why='it broke'), Note(SUBMITTED, id='7', said='RUNNING'))
    notes = {f'step-{i}': kinds[i % 3] for i in range(1000)}
    JobBook(tmp_path).change(notes)
    began = time.perf_counter()
    states = read_states(tmp_path, ask=False)
    assert time.perf_counter() - began < 1
    found = Counter(state.state for state in states)
    assert found == {'done': 334, 'failed': 333, 'running': 333}
