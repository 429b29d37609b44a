import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'

PYTHON = """#!/usr/bin/env bash
[[ "$1 $2" == "-m mim_bench.suite.torchrun" ]] || exit 1
printf '%s\\n' "threads=$OMP_NUM_THREADS" "${@:3}"
"""

# Slurm on one machine: shows its options, then runs the command as the second of two nodes.
SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do echo "srun $1"; shift; done
export SLURM_NNODES=2 SLURM_NODEID=1 SLURM_JOB_ID=20007 SLURM_JOB_NODELIST='node[1-2]'
exec "$@"
"""
SCONTROL = '#!/usr/bin/env bash\necho node1; echo node2\n'


@pytest.fixture
def launch(tmp_path):
    """Run a launcher with torchrun and Slurm replaced by programs that print their words."""
    for name, text in {'python': PYTHON, 'srun': SRUN, 'scontrol': SCONTROL}.items():
        program = tmp_path / name
        program.write_text(text)
        program.chmod(0o755)

    def run(script, *words, **variables):
        # VIRTUAL_ENV: as in an active environment, the programs on PATH count.
        environment = {
            'PATH': f'{tmp_path}{os.pathsep}/usr/bin{os.pathsep}/bin',
            'VIRTUAL_ENV': str(tmp_path),
            **variables,
        }
        return subprocess.run(
            ['bash', str(TOOLS / script), *words],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
        )

    return run


def test_dist_train_one_node_lets_torchrun_pick_the_port(launch):
    done = launch('dist_train.sh', 'config.py', '2')
    assert done.stdout.splitlines() == [
        'threads=1',
        '--standalone',
        '--local-addr=127.0.0.1',
        '--nproc-per-node=2',
        f'{TOOLS}/train.py',
        'config.py',
        '--launcher',
        'pytorch',
    ]


def test_dist_train_arguments_with_spaces_arrive_whole(launch):
    words = ['--cfg-options', "data_root='my data'", '--work-dir', 'a b']
    done = launch('dist_train.sh', 'my config.py', '2', *words)
    assert done.stdout.splitlines()[5:] == ['my config.py', '--launcher', 'pytorch', *words]


def test_dist_train_threads_of_the_user_stay(launch):
    assert launch('dist_train.sh', 'c.py', '1', OMP_NUM_THREADS='4').stdout.startswith('threads=4')


def test_dist_train_several_nodes_meet_at_the_master(launch):
    done = launch('dist_train.sh', 'c.py', '8', NNODES='2', NODE_RANK='1', MASTER_ADDR='10.0.0.1')
    assert done.stdout.splitlines()[1:6] == [
        '--nnodes=2',
        '--node-rank=1',
        '--master-addr=10.0.0.1',
        f'--master-port={port_of(done)}',
        '--nproc-per-node=8',
    ]


def port_of(done):
    (port,) = (line for line in done.stdout.splitlines() if line.startswith('--master-port='))
    return int(port.partition('=')[2])


def test_dist_train_several_nodes_port_is_the_runs_own_and_the_same_on_each_node(launch):
    def start(rank, work_dir):
        place = {'NNODES': '2', 'NODE_RANK': rank, 'MASTER_ADDR': '10.0.0.1'}
        return port_of(launch('dist_train.sh', 'c.py', '8', '--work-dir', work_dir, **place))

    one = start('0', 'a')
    assert 20000 <= one < 40000
    assert start('1', 'a') == one
    assert start('0', 'b') != one


def test_dist_train_several_nodes_port_can_be_set(launch):
    variables = {'NNODES': '2', 'NODE_RANK': '0', 'MASTER_ADDR': 'a', 'PORT': '1234'}
    assert '--master-port=1234' in launch('dist_train.sh', 'c.py', '8', **variables).stdout


def test_dist_train_several_nodes_without_master_is_a_usage_error(launch):
    done = launch('dist_train.sh', 'c.py', '8', NNODES='2', NODE_RANK='1')
    assert done.returncode == 2
    assert 'MASTER_ADDR' in done.stderr


def test_dist_test_passes_config_checkpoint_and_arguments(launch):
    done = launch('dist_test.sh', 'c.py', 'epoch 1.pth', '2', '--seed', '0')
    words = [f'{TOOLS}/test.py', 'c.py', 'epoch 1.pth', '--launcher', 'pytorch', '--seed', '0']
    assert done.stdout.splitlines()[3:] == ['--nproc-per-node=2', *words]


def test_slurm_train_starts_one_torchrun_a_node(launch):
    done = launch('slurm_train.sh', 'gpu', 'job', 'c.py', 'a b', '--resume', GPUS='16')
    assert done.stdout.splitlines() == [
        'srun --partition=gpu',
        'srun --job-name=job',
        'srun --nodes=2',
        'srun --ntasks-per-node=1',
        'srun --gres=gpu:8',
        'srun --cpus-per-task=40',
        'srun --kill-on-bad-exit=1',
        'threads=1',
        '--nnodes=2',
        '--node-rank=1',
        '--master-addr=node1',
        '--master-port=20007',
        '--nproc-per-node=8',
        f'{TOOLS}/train.py',
        'c.py',
        '--work-dir',
        'a b',
        '--launcher',
        'pytorch',
        '--resume',
    ]


def test_slurm_train_few_gpus_share_one_node(launch):
    variables = {'GPUS': '4', 'CPUS_PER_TASK': '3', 'SRUN_ARGS': '--qos=high --time=60'}
    printed = launch('slurm_train.sh', 'gpu', 'job', 'c.py', 'out', **variables).stdout.splitlines()
    assert 'srun --nodes=1' in printed
    assert 'srun --gres=gpu:4' in printed
    assert 'srun --cpus-per-task=12' in printed
    assert 'srun --qos=high' in printed
    assert 'srun --time=60' in printed


def test_slurm_train_uneven_gpus_is_a_usage_error(launch):
    done = launch('slurm_train.sh', 'gpu', 'job', 'c.py', 'out', GPUS='12')
    assert done.returncode == 2
    assert 'GPUS=12 is no multiple of GPUS_PER_NODE=8' in done.stderr


@pytest.mark.parametrize(
    ('script', 'words'),
    [
        ('dist_train.sh', []),
        ('dist_train.sh', ['c.py']),
        ('dist_train.sh', ['c.py', 'two']),
        ('dist_train.sh', ['c.py', '0']),
        ('dist_test.sh', ['c.py', '2']),
        ('dist_test.sh', ['c.py', 'epoch_1.pth', '--seed']),
        ('slurm_train.sh', ['gpu', 'job', 'c.py']),
    ],
)
def test_launcher_used_wrongly_exits_two_with_the_usage(launch, script, words):
    done = launch(script, *words)
    assert done.returncode == 2
    assert f'usage: bash tools/{script}' in done.stderr


@pytest.mark.parametrize('path', sorted(TOOLS.glob('*.sh')), ids=lambda path: path.name)
def test_script_is_valid_bash(path):
    done = subprocess.run(['bash', '-n', str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, '')
