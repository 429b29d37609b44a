"""Training in two processes on the CPU, with one config of each library."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
# What the config of the demo is, where its data lie, and what makes it short.
PRETRAIN = ('ummae_swin-toy_*', 'imagenet', ['train_cfg.max_epochs=1'])
SEGMENT = (
    'upernet_ummae-swin-toy_*',
    'ade/ADEChallengeData2016',
    ['train_dataloader.batch_size=2', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2'],
)
DETECT = (
    'mask-rcnn_ummae-swin-toy_*',
    'coco',
    ['train_dataloader.batch_size=2', 'train_cfg.max_epochs=1', 'train_cfg.val_interval=1'],
)
# 40 images: two iterations of 20
PROCESSES = 2
BATCH = 10

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='with GPUs, nccl is used')


def train(case, num_processes, toy_root, work_dir, *options):
    pattern, data, short = case
    (config,) = (ROOT / 'configs' / 'demo').glob(f'{pattern}.py')
    words = [config, '--data-root', toy_root / data, '--work-dir', work_dir, '--cfg-options']
    words += [*short, 'default_hooks.logger.interval=1', *options]
    if num_processes == 1:
        command = [sys.executable, ROOT / 'tools' / 'train.py', *words]
    else:
        launcher = ROOT / 'tools' / 'dist_train.sh'
        command = ['bash', launcher, words[0], str(num_processes), *words[1:]]
    # The launcher finds torchrun on the path.
    path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
    environment = {**os.environ, 'PATH': path, 'OMP_NUM_THREADS': '1'}
    environment.setdefault('VIRTUAL_ENV', sys.prefix)
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    (scalars,) = work_dir.glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in scalars.read_text().splitlines()]


def losses(scalars):
    return [entry['loss'] for entry in scalars if 'loss' in entry]


def test_pretraining_in_two_processes_has_the_loss_of_one_with_the_same_batch(toy_root, tmp_path):
    # A logged loss is rounded to four decimals, so the runs themselves tell theirs.
    text = "custom_hooks = [*_base_.custom_hooks, dict(type='MeanLossHook')]\n"
    pattern, data, short = PRETRAIN
    (base,) = (ROOT / 'configs' / 'demo').glob(f'{pattern}.py')
    del text, base, data, short
    one = train(PRETRAIN, 1, toy_root, tmp_path / 'one', f'train_dataloader.batch_size={2 * BATCH}')
    two = train(
        PRETRAIN, PROCESSES, toy_root, tmp_path / 'two', f'train_dataloader.batch_size={BATCH}'
    )
    assert losses(one) == pytest.approx(losses(two), abs=1e-5)
