"""Training in two processes on the CPU, with one config of each library."""

import json

import pytest

from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.resume import latest_checkpoint
from mim_bench.suite.demo import find_config
from mim_bench.suite.locations import configs_folder
from mim_bench.testing.demo_runs import data_root, read_rank_losses, write_child
from mim_bench.testing.processes import train_by_script

# By task: the config of the demo, and what makes it short.
CASES = {
    'pretrain': ('ummae_swin-toy_', ['train_cfg.max_epochs=1', 'param_scheduler.warmup_epochs=0']),
    'segment': (
        'upernet_ummae-swin-toy_',
        ['train_cfg.max_iters=2', 'train_cfg.val_interval=2'],
    ),
    'detect': (
        'mask-rcnn_ummae-swin-toy_',
        ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'],
    ),
}


def train(task, num_processes, batch_size, toy_root, work_dir):
    """Train, and give the losses of each process by iteration."""
    prefix, options = CASES[task]
    base = find_config(configs_folder(), prefix)
    config = write_child(work_dir.with_suffix('.py'), base, hook="dict(type='LossHook')")
    words = ['--data-root', data_root(base, toy_root), '--work-dir', work_dir, '--cfg-options']
    words += [f'train_dataloader.batch_size={batch_size}', *options]
    words.append(f'effective_batch_size={batch_size * num_processes}')
    done = train_by_script(config, words, num_processes)
    assert done.returncode == 0, done.stderr[-3000:]
    return read_rank_losses(work_dir, num_processes)


def test_two_processes_pretrain_as_one_with_the_same_total_batch(toy_root, tmp_path):
    # 40 images: two iterations of 20
    (alone,) = train('pretrain', 1, 20, toy_root, tmp_path / 'alone')
    first, second = train('pretrain', 2, 10, toy_root, tmp_path / 'pair')
    assert len(alone) == len(first) == len(second) == 2
    assert first[0] != second[0]  # other images
    for whole, *parts in zip(alone, first, second, strict=True):
        # The second iteration has the weights that both made of both gradients.
        assert sum(parts) / 2 == pytest.approx(whole, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize('task', ['segment', 'detect'])
def test_two_processes_train_and_validate(task, toy_root, tmp_path):
    parts = train(task, 2, 2, toy_root, tmp_path / 'pair')
    assert [len(part) for part in parts] == [2, 2]
    assert parts[0] != parts[1]
    meta = read_checkpoint(latest_checkpoint(tmp_path / 'pair'))['meta']
    assert meta['iter'] == 2
    (scalars,) = (tmp_path / 'pair').glob('*/vis_data/scalars.json')
    metric = {'segment': 'mIoU', 'detect': 'coco/segm_mAP'}[task]
    assert metric in json.loads(scalars.read_text().splitlines()[-1])
