"""One run on two nodes: network namespaces with a link between them, a launcher in each."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from mim_bench.data.toy import make_toy
from mim_bench.suite.guard import descendants
from mim_bench.suite.locations import DATA_ROOTS
from mim_bench.testing.toy_suites import SIZE

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
NETWORK = '10.213.7'
DEMO = 'configs/demo'
CONFIGS = {  # config, data set, images a process
    'pretrain': (f'{DEMO}/mae_vit-toy_1xb32-coslr-16e_toy-in1k-64px.py', 'in1k', 16),
    'mask-rcnn': (f'{DEMO}/mask-rcnn_vit-toy_1xb4-3e_toy-coco-128px.py', 'coco', 2),
}


def ip(*words):
    return subprocess.run(['ip', *words], capture_output=True, text=True)


@pytest.fixture(scope='module')
def nodes():
    """Two namespaces, joined by a pair of virtual devices."""
    if os.geteuid() != 0 or not sys.platform.startswith('linux'):
        pytest.skip('network namespaces need root on Linux')
    names = [f'mimbench{os.getpid()}{side}' for side in 'ab']
    made = ip('netns', 'add', names[0])
    if made.returncode:
        pytest.skip(f'no network namespaces here: {made.stderr.strip()}')
    try:
        ip('netns', 'add', names[1])
        ends = [f'mb{os.getpid() % 100000}{side}' for side in 'ab']
        made = ip('link', 'add', ends[0], 'type', 'veth', 'peer', 'name', ends[1])
        if made.returncode:
            pytest.skip(f'no virtual network devices here: {made.stderr.strip()}')
        for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
            ip('link', 'set', end, 'netns', name)
            ip('-n', name, 'addr', 'add', f'{NETWORK}.{number}/24', 'dev', end)
            ip('-n', name, 'link', 'set', end, 'up')
            ip('-n', name, 'link', 'set', 'lo', 'up')
        yield [(name, end) for name, end in zip(names, ends, strict=True)]
    finally:
        for name in names:
            ip('netns', 'del', name)


@dataclass
class Launch:
    """The launchers of a run."""

    folder: Path
    processes: list = field(default_factory=list)

    def start(self, words, nodes, per_node):
        num_nodes = max(len(nodes), 1)
        for number in range(num_nodes):
            first = f'{NETWORK}.1:29400'
            meeting = [
                f'--nnodes={num_nodes}', '--rdzv-backend=c10d', f'--rdzv-endpoint={first}',
                '--rdzv-id=test', f'--rdzv-conf=is_host={int(number == 0)}',
                f'--local-addr={NETWORK}.{number + 1}',
            ] if nodes else ['--standalone', '--local-addr=127.0.0.1']  # fmt: skip
            command = [sys.executable, '-m', 'mim_bench.suite.torchrun', *meeting]
            command += [f'--nproc-per-node={per_node}', '-m', 'mim_bench.cli.main', *words]
            environment = {**os.environ, 'OMP_NUM_THREADS': '1'}
            if nodes:
                name, end = nodes[number]
                command = ['ip', 'netns', 'exec', name, *command]
                environment['GLOO_SOCKET_IFNAME'] = end
            log = (self.folder / f'node{number}.txt').open('a')
            self.processes.append(
                subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
            )
        return self

    def wait(self, seconds=500):
        return [process.wait(seconds) for process in self.processes]

    def text(self, number=0):
        return (self.folder / f'node{number}.txt').read_text()

    def kill(self, number):
        """Everything of one node dies at once."""
        process = self.processes[number]
        for pid in [*descendants(process.pid), process.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp('toy')
    make_toy(folder, size=SIZE)
    return folder


def words_of(kind, data, work):
    config, dataset, images = CONFIGS[kind]
    return [
        'train', config, '--work-dir', str(work), '--data-root', str(data / DATA_ROOTS[dataset]),
        '--seed', '0', '--auto-resume', '--launcher', 'pytorch', '--dist-timeout', '2',
        '--cfg-options', f'train_dataloader.batch_size={images}',
    ]  # fmt: skip


def weights(work):
    (last,) = (work / 'last_checkpoint').read_text().split()
    return torch.load(work / Path(last).name, map_location='cpu', weights_only=False)['state_dict']


def launch(folder, kind, data, nodes, per_node, work=None):
    folder.mkdir(exist_ok=True)
    work = work or folder / 'work'
    return Launch(folder).start(words_of(kind, data, work), nodes, per_node), work


@pytest.mark.parametrize('kind', CONFIGS)
def test_two_nodes_equal_one_and_resume_after_the_death_of_one(kind, nodes, data, tmp_path):
    one, expected = launch(tmp_path / 'one', kind, data, [], 2)
    assert one.wait() == [0], one.text()[-3000:]

    two, found = launch(tmp_path / 'two', kind, data, nodes, 1)
    assert two.wait() == [0, 0], two.text()[-3000:] + two.text(1)[-3000:]
    equal(found, expected)

    killed, work = launch(tmp_path / 'killed', kind, data, nodes, 1)
    end = time.monotonic() + 300
    while not list(work.glob('epoch_1.pth')):
        assert time.monotonic() < end, killed.text()[-3000:]
        assert killed.processes[0].poll() is None, killed.text()[-3000:]
        time.sleep(0.1)
    killed.kill(1)
    assert killed.processes[0].wait(300) != 0
    assert killed.text().count('error: ') == 1, killed.text()[-3000:]
    again, _ = launch(tmp_path / 'again', kind, data, nodes, 1, work)
    assert again.wait() == [0, 0], again.text()[-3000:]
    equal(work, expected)


def equal(found, expected):
    found, expected = weights(found), weights(expected)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6, msg=name)
