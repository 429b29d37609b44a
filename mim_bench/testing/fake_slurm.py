"""The commands of a fake Slurm: they keep the state of a cluster in one JSON file.

``sbatch``, ``squeue``, ``sacct``, ``scancel``, ``scontrol`` and ``srun``, as far as submitit and
the suite use them. :mod:`mim_bench.testing.slurm_controller` lets time pass. It imports little,
since each command is a process.
"""

import contextlib
import fcntl
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

COMMANDS = ('sbatch', 'squeue', 'sacct', 'scancel', 'scontrol', 'srun')
LIVE = ('PENDING', 'RUNNING')
STATE = 'FAKE_SLURM'


@contextmanager
def opened(folder: Path) -> Iterator[dict[str, Any]]:
    """The state, locked; what is changed is written."""
    with (folder / 'lock').open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = folder / 'state.json'
        state = json.loads(path.read_text())
        before = json.dumps(state)
        yield state
        if json.dumps(state) != before:
            path.write_text(json.dumps(state))


def fail(text: str) -> None:
    """End a command as Slurm's do."""
    print(text, file=sys.stderr)
    raise SystemExit(1)


def sbatch(state: dict, words: list[str]) -> None:
    """Take a job file; ``faults.sbatch`` is how often to fail, ``-N``: after taking the job."""
    state['calls'].append('sbatch')
    fault = state['faults']['sbatch']
    if fault > 0:
        state['faults']['sbatch'] -= 1
        fail('sbatch: error: Batch job submission failed: Job violates accounting/QOS policy')
    text = Path(words[-1]).read_text()
    options = {}
    for line in re.findall(r'^#SBATCH --(.*)$', text, re.MULTILINE):
        name, _, value = line.partition('=')
        options[name] = shlex.split(value)[0] if value else ''
    limits = state['limits']
    for name in limits:
        if int(options.get(name, 0)) > limits[name]:
            fail(f'sbatch: error: {name}={options[name]} is more than this cluster has')
    base = state['next']
    state['next'] += 1
    indices = [None]
    if 'array' in options:
        first, last = options['array'].partition('%')[0].split('-')
        indices = list(range(int(first), int(last) + 1))
    for index in indices:
        id_ = f'{base}' if index is None else f'{base}_{index}'
        state['jobs'][id_] = {
            'id': id_, 'base': base, 'index': index, 'script': words[-1], 'options': options,
            'state': 'PENDING', 'pid': None, 'restarts': 0, 'requeue': False, 'order': base,
        }  # fmt: skip
    if fault < 0:
        state['faults']['sbatch'] += 1
        fail('sbatch: error: Batch job submission failed: Socket timed out on send/recv operation')
    print(f'Submitted batch job {base}')


def squeue(state: dict, words: list[str]) -> None:
    """List jobs in the format that is asked for: %i, %T, %k."""
    state['calls'].append('squeue')
    if state['faults']['squeue'] > 0:
        state['faults']['squeue'] -= 1
        fail('slurm_load_jobs error: Unable to contact slurm controller (connect failure)')
    form = words[words.index('-o') + 1]
    for job in state['jobs'].values():
        if job.get('purged'):
            continue
        facts = {'%i': job['id'], '%T': job['state'], '%k': job['options'].get('comment', '')}
        print(re.sub('%.', lambda found, facts=facts: facts[found[0]], form))


def sacct(state: dict, words: list[str]) -> None:
    """Print id and state of jobs."""
    state['calls'].append('sacct')
    if state['faults']['sacct'] > 0:
        state['faults']['sacct'] -= 1
        fail('sacct: error: slurmdbd: Unable to connect')
    asked = {id_ for i, word in enumerate(words) if word == '-j' for id_ in words[i + 1].split(',')}
    for job in state['jobs'].values():
        if str(job['base']) in asked or job['id'] in asked:
            print(f'{job["id"]}|{job["state"]}')


def scancel(state: dict, words: list[str]) -> None:
    """Mark jobs; the next tick ends them."""
    state['calls'].append('scancel')
    for id_ in words:
        job = state['jobs'].get(id_)
        if job is not None and job['state'] in LIVE:
            job['fate'] = 'cancel'


def scontrol(state: dict, words: list[str]) -> None:
    """``show hostnames LIST`` and ``requeue ID``."""
    state['calls'].append(f'scontrol {words[0]}')
    if words[:2] == ['show', 'hostnames']:
        prefix, _, inside = words[2].partition('[')
        for part in inside.rstrip(']').split(',') if inside else ['']:
            first, _, last = part.partition('-')
            for number in range(int(first), int(last or first) + 1) if part else ['']:
                print(f'{prefix}{number}')
    elif words[0] == 'requeue':
        state['jobs'][words[1]]['requeue'] = True
    else:
        fail(f'scontrol: what is {words}?')


def task_environment(node: int, num_nodes: int, nodes: str) -> dict[str, str]:
    """The variables that srun sets in the task of a node, of nodes in Slurm's notation."""
    return {
        'SLURM_NODEID': f'{node}', 'SLURM_PROCID': f'{node}', 'SLURM_LOCALID': '0',
        'SLURM_NTASKS': f'{num_nodes}', 'SLURMD_NODENAME': f'node{node + 1}',
        'SLURM_STEP_NODELIST': nodes,
    }  # fmt: skip


def srun(words: list[str]) -> int:
    """Start the command once a node and wait; all end when one fails."""
    import signal
    import subprocess

    flags = [word for word in words if word.startswith('--kill-on-bad-exit')]
    start = next(i for i, word in enumerate(words) if word.startswith('/') and '%' not in word)
    command = words[start:]
    output = {w: words[i + 1] for i, w in enumerate(words) if w in ('--output', '--error')}
    env = dict(os.environ)
    num_nodes = int(env['SLURM_JOB_NUM_NODES'])
    base, index = env.get('SLURM_ARRAY_JOB_ID'), env.get('SLURM_ARRAY_TASK_ID')
    job_name = f'{base}_{index}' if base else env['SLURM_JOB_ID']
    tasks = []
    for node in range(num_nodes):
        name = output['--output'].replace('%A_%a', job_name).replace('%j', job_name)
        with Path(name.replace('%t', str(node))).open('a') as log:
            own = task_environment(node, num_nodes, env['SLURM_JOB_NODELIST'])
            task = subprocess.Popen(command, env={**env, **own}, stdout=log, stderr=log)
        tasks.append(task)

    def pass_on(number: int, _: object) -> None:
        for task in tasks:
            with contextlib.suppress(ProcessLookupError):
                task.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, pass_on)
    status = 0
    while any(task.poll() is None for task in tasks):
        failed = [t.returncode for t in tasks if t.returncode]
        if failed and flags:
            for task in tasks:
                task.kill()
        time.sleep(0.005)
    for task in tasks:
        status = status or task.returncode
    return status if status >= 0 else 128 - status


def main(name: str, words: list[str]) -> int:
    """Run one of the commands."""
    if name == 'srun':
        return srun(words)
    functions: dict[str, Callable] = {
        'sbatch': sbatch, 'squeue': squeue, 'sacct': sacct, 'scancel': scancel,
        'scontrol': scontrol,
    }  # fmt: skip
    with opened(Path(os.environ[STATE])) as state:
        try:
            functions[name](state, words)
        except SystemExit as end:
            return int(end.code)
    return 0
