"""Training in two processes on the CPU, with one config of each library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mim_bench.conversion.files import read_checkpoint
from mim_bench.engine.resume import latest_checkpoint

ROOT = Path(__file__).parents[2]
# By task: the config of the demo, where its data lie, and what makes it short.
CASES = {
    'pretrain': ('ummae_swin-toy_*', 'imagenet', ['train_cfg.max_epochs=1']),
    'segment': (
        'upernet_ummae-swin-toy_*',
        'ade/ADEChallengeData2016',
        ['train_cfg.max_iters=2', 'train_cfg.val_interval=2'],
    ),
    'detect': (
        'mask-rcnn_ummae-swin-toy_*',
        'coco',
        ['train_cfg.max_epochs=1', 'train_cfg.val_interval=1'],
    ),
}

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='on GPUs it would use nccl')


def train(task, num_processes, batch_size, toy_root, work_dir):
    """Train, and give the losses of each process by iteration."""
    pattern, data, options = CASES[task]
    (base,) = (ROOT / 'configs' / 'demo').glob(f'{pattern}.py')
    config = work_dir.with_suffix('.py')
    config.write_text(
        f"_base_ = {str(base)!r}\ncustom_imports = dict(imports=['loss_hook'])\n"
        "custom_hooks = [*_base_.custom_hooks, dict(type='LossHook')]\n"
    )
    words = [config, '--data-root', toy_root / data, '--work-dir', work_dir, '--cfg-options']
    words += [f'train_dataloader.batch_size={batch_size}', *options]
    command = [sys.executable, ROOT / 'tools' / 'train.py', *words]
    if num_processes > 1:
        launcher = ROOT / 'tools' / 'dist_train.sh'
        command = ['bash', launcher, words[0], str(num_processes), *words[1:]]
    environment = {
        **os.environ,
        # The launcher finds torchrun on the path, as in an active environment.
        'PATH': f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}',
        'VIRTUAL_ENV': sys.prefix,
        'PYTHONPATH': str(Path(__file__).parent),
        'OMP_NUM_THREADS': '1',
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    files = [work_dir / f'losses-{rank}.json' for rank in range(num_processes)]
    return [json.loads(path.read_text()) for path in files]


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
