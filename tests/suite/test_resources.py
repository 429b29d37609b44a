"""What jobs ask for: files of clusters, words, what wins, what is refused."""

import pytest

from mim_bench.errors import ConfigError
from mim_bench.suite.cluster import check_jobs
from mim_bench.suite.plan import Settings
from mim_bench.suite.resources import Cluster, Resources, read_cluster
from mim_bench.suite.steps import Step
from mim_bench.suite.tasks import load_suite

FILE = """
defaults: {gpus_per_node: 8, hours: 24, partition: gpu}
tasks:
  in1k-ft: {nodes: 2, hours: 48}
  in1k-knn: {gpus_per_node: 4}
  cpu: {partition: cpu}
limits: {nodes: 2, hours: 72}
"""


@pytest.fixture
def cluster(tmp_path):
    (tmp_path / 'cluster.yml').write_text(FILE)
    return read_cluster(tmp_path / 'cluster.yml')


def test_resources_of_a_task_change_the_defaults(cluster):
    asked = cluster.of(['in1k-ft'])
    assert (asked.nodes, asked.hours, asked.partition, asked.gpus_per_node) == (2, 48, 'gpu', 8)
    assert cluster.of(['other']).hours == 24


def test_resources_words_win_and_those_of_a_task_win_over_all(cluster):
    changed = cluster.changed(['hours=1', 'in1k-ft.hours=2.5', 'partition=123'])
    assert changed.of(['other']).hours == 1
    assert (changed.of(['in1k-ft']).hours, changed.of(['in1k-ft']).nodes) == (2.5, 2)
    assert changed.of(['cpu']).partition == '123'


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('hours', 'write KEY=VALUE'),
        ('hours=soon', 'hours: .*not .soon'),
        ('node=2', "node: nothing reads this key \\(did you mean 'nodes'"),
        ('nodes=0', 'nodes: .*greater than or equal to 1, not 0'),
    ],
)
def test_resources_wrong_words_are_refused(cluster, word, message):
    with pytest.raises(ConfigError, match=message):
        cluster.changed([word])


def test_resources_wrong_file_names_every_place(tmp_path):
    (tmp_path / 'c.yml').write_text('defaults: {hours: -1, gpu: 8}\nexecutor: pbs\n')
    with pytest.raises(ConfigError, match=r'defaults\.hours.*defaults\.gpu.*executor|executor'):
        read_cluster(tmp_path / 'c.yml')


def test_resources_of_a_probe_are_one_gpu_unless_its_task_says_more(cluster):
    probe = next(e for e in load_suite('full').entries if e.gpus == 1)
    assert Settings(gpus=8).resources_of(probe)[0] == 1
    gpus, asked = Settings(cluster=cluster).resources_of(probe)
    assert (gpus, asked.nodes, asked.hours) == (4, 1, 24)
    alone = Cluster(defaults=Resources(gpus_per_node=8, nodes=4, hours=1.0))
    gpus, asked = Settings(cluster=alone).resources_of(probe)
    assert (gpus, asked.nodes) == (1, 1)


def test_jobs_that_cannot_be_submitted_are_refused_in_one_message(cluster):
    plan = [
        Step('a', ('train',), trial_words=('train',)),
        Step('b', ('train',), gpus=8, resources=Resources(hours=100.0, nodes=3)),
    ]
    with pytest.raises(ConfigError) as error:
        check_jobs(plan, cluster.changed(['in1k-fd.hours=3']), ['in1k-ft', 'in1k-knn'])
    for text in (
        "tasks.in1k-fd: the suite has no such task. Did you mean 'in1k-ft'?",
        'a has no time limit: hours=H',
        'a has no GPUs: gpus_per_node=N',
        'b asks for nodes 3, but the cluster allows 2',
        'b asks for hours 100, but the cluster allows 72',
    ):
        assert text in str(error.value)
    check_jobs(
        [Step('a', ('train',), gpus=8, resources=Resources(hours=1.0))],
        cluster,
        ['in1k-ft', 'in1k-knn'],
    )


def test_jobs_of_another_scheduler_need_a_template(cluster):
    with pytest.raises(ConfigError, match=r'needs --submit-command with \{script\}'):
        check_jobs([], Cluster(executor='command', submit_command='qsub'), [])
