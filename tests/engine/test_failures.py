"""What a user sees when something is wrong: one message, exit status 1, nothing else harmed."""

import json
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from mim_bench.models.backbones.vit import ViT
from mim_bench.results.store import read_record, write_record
from mim_bench.testing.commands import mim_bench
from mim_bench.testing.config_names import demo
from mim_bench.testing.disk import small_disk
from mim_bench.testing.processes import train_by_script
from mim_bench.testing.records import make_record

SHORT = [
    'param_scheduler.warmup_epochs=0',
    'train_cfg.max_epochs=1',
    'train_dataloader.batch_size=20',
    'effective_batch_size=20',
]


def the_message(done):
    """The one message of a run that failed as it should."""
    assert done.returncode == 1, done.stderr[-2000:]
    assert 'Traceback' not in done.stdout + done.stderr
    messages = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(messages) == 1
    assert done.stderr.rstrip().endswith(messages[0])
    return messages[0]


@pytest.fixture
def cut_checkpoint(tmp_path):
    state = {'backbone.patch_embed.norm.weight': torch.zeros(10000)}
    torch.save({'state_dict': state}, tmp_path / 'cut.pth')
    whole = (tmp_path / 'cut.pth').read_bytes()
    (tmp_path / 'cut.pth').write_bytes(whole[: len(whole) // 2])
    return tmp_path / 'cut.pth'


@pytest.fixture
def disk(tmp_path):
    """A disk of 1 MiB with an earlier result on it."""
    with small_disk(tmp_path / 'disk', 'size=1m') as folder:
        (folder / 'earlier.pth').write_bytes(b'earlier result')
        yield folder


def test_train_truncated_checkpoint_is_one_message_and_keeps_the_record(
    toy_root, tmp_path, cut_checkpoint
):
    earlier = write_record(make_record(run_id='mine'), tmp_path / 'results')
    content = earlier.read_bytes()
    words = [demo('finetune_ummae-swin-toy_*'), '--checkpoint', cut_checkpoint]
    words += ['--data-root', toy_root / 'imagenet', '--work-dir', tmp_path / 'run']
    words += ['--results-dir', tmp_path / 'results', '--run-id', 'mine']
    done = mim_bench('train', *words, '--cfg-options', *SHORT)
    assert 'cut.pth: this checkpoint is damaged or cut short' in the_message(done)
    assert earlier.read_bytes() == content


@pytest.mark.slow
def test_test_absent_model_is_one_message_without_a_hint_at_a_traceback(toy_root, tmp_path):
    words = [demo('finetune_ummae-swin-toy_*'), tmp_path / 'absent.pth']
    words += ['--data-root', toy_root / 'imagenet', '--work-dir', tmp_path / 'run']
    message = the_message(mim_bench('test', *words))
    assert message.endswith('absent.pth: there is no such checkpoint file. Check the path.')


def test_convert_truncated_checkpoint_is_one_message_and_keeps_the_target(tmp_path, cut_checkpoint):
    (tmp_path / 'target.pth').write_bytes(b'earlier result')
    message = the_message(mim_bench('convert', cut_checkpoint, tmp_path / 'target.pth'))
    assert 'cut.pth: this checkpoint is damaged or cut short' in message
    assert (tmp_path / 'target.pth').read_bytes() == b'earlier result'


def test_train_missing_dataset_is_one_message(tmp_path):
    words = ['--data-root', tmp_path / 'absent', '--work-dir', tmp_path / 'run']
    message = the_message(mim_bench('train', demo('upernet_ummae-swin-toy_*'), *words))
    assert f'train_dataloader reads {tmp_path / "absent"}' in message
    assert 'mim-bench data make-toy' in message


def test_train_label_out_of_range_names_image_and_label_and_leaves_a_record(toy_root, tmp_path):
    root = shutil.copytree(toy_root / 'ade' / 'ADEChallengeData2016', tmp_path / 'ade')
    for path in (root / 'annotations' / 'training').iterdir():
        labels = np.asarray(Image.open(path)).copy()
        labels[:] = 201  # 200 after label zero is taken out; the toy has 11 classes
        Image.fromarray(labels).save(path)
    words = ['--data-root', root, '--work-dir', tmp_path / 'run', '--run-id', 'mine']
    words += ['--results-dir', tmp_path / 'results']
    # In a process of its own, which no run before has left anything.
    message = the_message(train_by_script(demo('upernet_ummae-swin-toy_*'), words))
    assert 'holds the label 200, but the model has 11 classes' in message
    assert str(root / 'images' / 'training') in message
    record = read_record(tmp_path / 'results' / 'mine' / 'record.json')
    assert record.status == 'failed'
    assert 'holds the label 200' in record.error


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ('optim_wraper = dict()', "nothing reads the key 'optim_wraper'. Did you mean 'optim_wr"),
        pytest.param(
            'model = dict(backbone=dict(dephts=1))',
            "class UMMAESwin does not take the key 'dephts'",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "model = dict(neck=dict(type='mim_bench.PooledNrom'))",
            "there is no 'mim_bench.PooledNrom' in the registry",
            marks=pytest.mark.slow,
        ),
    ],
    ids=['top', 'argument', 'type'],
)
def test_train_unknown_key_is_one_message(toy_root, tmp_path, change, message):
    path = tmp_path / 'mine.py'
    path.write_text(f"_base_ = '{demo('finetune_ummae-swin-toy_*')}'\n{change}\n")
    words = ['--data-root', toy_root / 'imagenet', '--work-dir', tmp_path / 'run']
    shown = the_message(mim_bench('train', path, *words))
    assert message in shown
    assert str(path) in shown


def test_train_full_disk_is_one_message_and_keeps_earlier_files(toy_root, tmp_path, disk):
    words = ['--data-root', toy_root / 'imagenet', '--work-dir', disk]
    words += ['--results-dir', tmp_path / 'results', '--run-id', 'mine', '--cfg-options', *SHORT]
    # In a process of its own, which leaves no open log on the disk.
    message = the_message(train_by_script(demo('ummae_swin-toy_*'), words))
    assert re.search(r'are free, and the checkpoints need about .* \(\d files of', message)
    assert (disk / 'earlier.pth').read_bytes() == b'earlier result'
    assert [path.name for path in disk.rglob('*.tmp')] == []
    assert json.loads((tmp_path / 'results/mine/record.json').read_text())['status'] == 'failed'


def test_convert_full_disk_is_one_message_and_keeps_earlier_files(tmp_path, disk):
    arch = dict(embed_dims=512, num_layers=1, num_heads=8, feedforward_channels=2048)
    state = ViT(arch=arch, img_size=32, patch_size=16).state_dict()
    torch.save({f'backbone.{key}': value for key, value in state.items()}, tmp_path / 'large.pth')
    message = the_message(mim_bench('convert', tmp_path / 'large.pth', disk / 'earlier.pth'))
    assert 'earlier.pth: cannot be written' in message
    assert 'No space left on device' in message
    assert [path.name for path in disk.iterdir()] == ['earlier.pth']
    assert (disk / 'earlier.pth').read_bytes() == b'earlier result'
