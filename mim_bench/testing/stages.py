"""Short trainings of every kind that are stopped and started again, and what must be equal then."""

import hashlib
import re
import signal
import time
from pathlib import Path
from typing import Any

import torch

from mim_bench.conversion.files import read_checkpoint
from mim_bench.conversion.weight_files import latest_checkpoint
from mim_bench.errors import RunInterrupted
from mim_bench.results.store import read_record
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, write_child
from mim_bench.testing.hooks import UPDATES_FILE
from mim_bench.testing.processes import ForkedRun, train_by_script

INTERRUPTED = RunInterrupted.exit_status
PRETRAINING = """
train_dataloader = dict(batch_size=8)
effective_batch_size = 8
train_cfg = dict(max_epochs=3)
param_scheduler = dict(warmup_epochs=1)
"""
CLASSIFICATION = """
train_dataloader = dict(batch_size=8)
effective_batch_size = 8
val_dataloader = dict(batch_size=8)
train_cfg = dict(max_epochs=3, val_interval=3)
param_scheduler = dict(warmup_epochs=1)
"""
# Stage: config of the demo, changes, iterations of a run.
STAGES = {
    'pretrain-ummae': ('ummae_swin-toy_', PRETRAINING, 15),
    'pretrain-simmim': ('simmim_swin-toy_', PRETRAINING, 15),
    'classify': ('finetune_ummae-swin-toy_', CLASSIFICATION + """
model = dict(
    backbone=dict(drop_path_rate=0.2),
    train_cfg=dict(_delete_=True, augments=[dict(type='mim_bench.Mixup')]),
)
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='mim_bench.RandAugment'),
    dict(type='mim_bench.RandomErasing'),
    dict(type='PackInputs', algorithm_keys=['erased']),
]
""", 15),
    'segment': ('upernet_ummae-swin-toy_', """
train_dataloader = dict(batch_size=4)
effective_batch_size = 4
train_cfg = dict(max_iters=6, val_interval=6)
default_hooks = dict(checkpoint=dict(interval=2))
""", 6),
    'detect': ('mask-rcnn_ummae-swin-toy_', """
train_dataloader = dict(batch_size=2)
effective_batch_size = 2
train_cfg = dict(max_epochs=3, val_interval=3)
""", 12),
}  # fmt: skip


class Stage:
    """Starts one stage's training in processes of its own."""

    def __init__(self, name: str, toy_root: Path, folder: Path, num_processes: int = 1) -> None:
        prefix, self.text, self.num_iters = STAGES[name]
        if num_processes == 2:
            self.text = re.sub(r'(train_dataloader = dict\(batch_size=)(\d+)', _halve, self.text)
        self.num_processes = num_processes
        self.base = find_config(configs_folder(), f'{prefix}*')
        self.data, self.folder = data_root(self.base, toy_root), folder

    def train(self, work_dir: str, kill: str = '') -> int:
        """Train, with the arguments of a ``KillHook``; returns the exit status."""
        config = self.folder / f'{work_dir}{"-killed" if kill else ""}.py'
        words = self._words(config, work_dir, f'dict(type="KillHook", {kill})')
        done = train_by_script(*words, self.num_processes)
        if done.returncode not in (0, -signal.SIGKILL, INTERRUPTED):
            raise RuntimeError(done.stderr[-3000:])
        return done.returncode

    def start(self, work_dir: str, hook: str = 'dict(type="UpdateHook")') -> ForkedRun:
        """Start a training with a hook of the tests, and do not wait for it."""
        config = self.folder / f'{work_dir}-{time.monotonic_ns()}.py'
        config, words = self._words(config, work_dir, hook)
        return ForkedRun(['train', config, *words], self.num_processes)

    def _words(self, config: Path, work_dir: str, hook: str) -> tuple[Path, list]:
        write_child(config, self.base, self.text, hook)
        words = ['--auto-resume', '--data-root', self.data, '--run-id', work_dir]
        words += ['--work-dir', self.folder / work_dir, '--results-dir', self.folder / 'results']
        return config, words

    def updates(self, work_dir: str) -> int:
        """Updates that a started training has made, of all its starts."""
        path = self.folder / work_dir / UPDATES_FILE
        lines = path.read_text().split() if path.exists() else []
        return int(lines[-1]) if lines else 0

    def saved(self, work_dir: str) -> int:
        """Updates that the newest checkpoint of a training holds."""
        path = latest_checkpoint(self.folder / work_dir)
        return 0 if path is None else read_checkpoint(path)['meta']['iter']

    def end(self, work_dir: str) -> dict[str, Any]:
        """What two runs must have in common, bit for bit, to have ended alike."""
        content = read_checkpoint(latest_checkpoint(self.folder / work_dir))
        record = read_record(self.folder / 'results' / work_dir / 'record.json')
        return {
            'iter': content['meta']['iter'],
            'losses': content['message_hub']['log_scalars']['train/loss'].data[0].tolist(),
            'metrics': {name: metric.value for name, metric in record.metrics.items()},
            'weights': _digests(dict(content['state_dict'])),
            'optimizer': _digests(content['optimizer']),
            'param_schedulers': content['param_schedulers'],
        }


def _digests(node: Any) -> Any:
    """A nest of tensors with the SHA-256 of each in its place."""
    if isinstance(node, torch.Tensor):
        return hashlib.sha256(node.contiguous().view(-1).view(torch.uint8).numpy()).hexdigest()
    if isinstance(node, dict):
        return {key: _digests(value) for key, value in node.items()}
    return node


def _halve(match: re.Match[str]) -> str:
    return f'{match[1]}{int(match[2]) // 2}'
