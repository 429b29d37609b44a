"""Training in two processes on the CPU, with one config of each library.

By default test_fsdp.py compares two processes with one.
"""

import json

import pytest

from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.launch import Launch
from mim_bench.engine.resume import latest_checkpoint
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, read_rank_losses, write_child
from mim_bench.testing.processes import train_by_script, train_forked

pytestmark = pytest.mark.slow
# By task: the config of the demo, and what makes it short.
CASES = {
    'pretrain': (
        'ummae_swin-toy_',
        {'train_cfg.max_epochs': 1, 'param_scheduler.warmup_epochs': 0},
    ),
    'segment': (
        'upernet_ummae-swin-toy_',
        {'train_cfg.max_iters': 2, 'train_cfg.val_interval': 2},
    ),
    'detect': (
        'mask-rcnn_ummae-swin-toy_',
        {'train_cfg.max_epochs': 1, 'train_cfg.val_interval': 1},
    ),
}


class Run:
    """One task's training; its config and its results lie in a folder of its own."""

    def __init__(self, task, toy_root, folder, batch_size, num_processes):
        prefix, options = CASES[task]
        base = find_config(configs_folder(), f'{prefix}*')
        self.folder, self.data_root = folder, data_root(base, toy_root)
        self.config = write_child(folder.with_suffix('.py'), base, hook="dict(type='LossHook')")
        self.options = {
            'train_dataloader.batch_size': batch_size,
            'effective_batch_size': batch_size * num_processes,
            **options,
        }
        self.num_processes = num_processes

    def by_launcher(self):
        """The losses of each process by iteration, trained as users start it."""
        words = ['--data-root', self.data_root, '--work-dir', self.folder, '--cfg-options']
        words += [f'{key}={value}' for key, value in self.options.items()]
        done = train_by_script(self.config, words, self.num_processes)
        assert done.returncode == 0, done.stderr[-3000:]
        return read_rank_losses(self.folder, self.num_processes)

    def forked(self):
        places = dict(work_dir=str(self.folder), data_root=str(self.data_root))
        train_forked(Launch(str(self.config), options=self.options, **places), self.num_processes)
        return read_rank_losses(self.folder, self.num_processes)


def test_two_processes_pretrain_as_one_with_the_same_total_batch(toy_root, tmp_path):
    # 40 images: two iterations of 20
    (alone,) = Run('pretrain', toy_root, tmp_path / 'alone', 20, 1).forked()
    first, second = Run('pretrain', toy_root, tmp_path / 'pair', 10, 2).by_launcher()
    assert len(alone) == len(first) == len(second) == 2
    assert first[0] != second[0]  # other images
    for whole, *parts in zip(alone, first, second, strict=True):
        # The second iteration has the weights that both made of both gradients.
        assert sum(parts) / 2 == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize('task', ['segment', 'detect'])
def test_two_processes_train_and_validate(task, toy_root, tmp_path):
    parts = Run(task, toy_root, tmp_path / 'pair', 2, 2).forked()
    assert [len(part) for part in parts] == [2, 2]
    assert parts[0] != parts[1]
    meta = read_checkpoint(latest_checkpoint(tmp_path / 'pair'))['meta']
    assert meta['iter'] == 2
    (scalars,) = (tmp_path / 'pair').glob('*/vis_data/scalars.json')
    metric = {'segment': 'mIoU', 'detect': 'coco/segm_mAP'}[task]
    assert metric in json.loads(scalars.read_text().splitlines()[-1])
