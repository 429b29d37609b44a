"""``mim-bench protocol``, and resuming with other settings, as a user calls them."""

import re
import shutil

import pytest
import torch

from mim_bench.conversion.files import read_checkpoint, state_dict_of, state_sha256
from mim_bench.files.hashing import file_sha256
from mim_bench.results.store import read_record
from mim_bench.testing.commands import mim_bench
from mim_bench.testing.config_names import demo

SHORT = [
    'param_scheduler.warmup_epochs=0',
    'train_cfg.max_epochs=1',
    'train_cfg.val_interval=1',
    'train_dataloader.batch_size=20',
    'effective_batch_size=20',
]


def weights_of(path):
    return state_sha256(state_dict_of(read_checkpoint(path)))


def hash_of(*words):
    done = mim_bench('protocol', *words)
    assert done.returncode == 0, done.stderr
    return re.search(r'in1k-ft: toy-ft, version 2, hash ([0-9a-f]{12})\n', done.stdout)[1]


def test_protocol_fit_backbone_asks_for_its_own_option():
    done = mim_bench('protocol', demo('finetune_vit-toy*'), '--fit-backbone')
    assert done.returncode == 1
    assert '--fit-backbone takes the backbone of --start.' in done.stderr


def test_protocol_of_families_is_one_and_depends_on_settings_and_data(toy_root):
    vit, pvt = demo('finetune_vit-toy*'), demo('finetune_ummae-pvt-toy*')
    recipe = hash_of(vit)
    assert hash_of(pvt) == recipe
    assert hash_of(vit, '--cfg-options', 'model.backbone.drop_path_rate=0.1') != recipe
    assert hash_of(vit, '--data-root', toy_root / 'imagenet') != recipe


def test_protocol_settings_and_what_is_left_out_are_printed():
    done = mim_bench('protocol', demo('finetune_vit-toy*'), '--settings', '--left-out')
    assert '"lr": 0.002' in done.stdout
    assert 'val_dataloader.batch_size: each image is evaluated by itself' in done.stdout


@pytest.fixture(scope='module')
def trained(toy_root, tmp_path_factory):
    """The words of a training that is done, with one epoch behind it."""
    folder = tmp_path_factory.mktemp('resume')
    words = ['train', demo('finetune_vit-toy*'), '--auto-resume', '--no-amp', '--results-dir']
    words += [folder / 'results', '--work-dir', folder / 'work']
    words += ['--data-root', toy_root / 'imagenet']
    done = mim_bench(*words, '--cfg-options', *SHORT)
    assert done.returncode == 0, done.stderr[-2000:]
    return words


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ('train_cfg.max_epochs=3', 'train_cfg.max_epochs was 1 and is 3'),
        ('optim_wrapper.optimizer.lr=0.5', 'optim_wrapper.optimizer.lr was 0.002 and is 0.5'),
        ('randomness.seed=3', 'the seed was 0 and is 3'),
    ],
)
def test_resume_with_other_settings_is_refused(trained, option, message):
    done = mim_bench(*trained, '--cfg-options', *SHORT, option)
    assert done.returncode == 1
    assert message in done.stderr
    assert 'start anew with another --work-dir' in done.stderr


def test_resume_with_other_data_is_refused(trained, toy_root, tmp_path):
    shutil.copytree(toy_root / 'imagenet', tmp_path / 'imagenet')
    next((tmp_path / 'imagenet' / 'train').glob('*/*')).unlink()
    words = [*trained[:-1], tmp_path / 'imagenet']
    done = mim_bench(*words, '--cfg-options', *SHORT)
    assert done.returncode == 1
    assert 'data.train.images was 40 and is 39' in done.stderr


def test_resume_with_the_same_settings_and_other_intervals_goes_on(trained):
    done = mim_bench(*trained, '--cfg-options', *SHORT, 'val_dataloader.batch_size=3')
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize('option', ['--checkpoint', '--load-from'])
def test_resume_goes_on_from_the_file_it_started_from_and_no_other(option, trained, tmp_path):
    whole = trained[trained.index('--work-dir') + 1] / 'epoch_1.pth'
    other = tmp_path / 'other.pth'
    weights = torch.load(whole, weights_only=False)
    weights['state_dict']['backbone.cls_token'] += 1
    torch.save(weights, other)
    words = [*trained, '--work-dir', tmp_path / 'work', '--results-dir', tmp_path / 'results']
    options = ['--cfg-options', *SHORT, 'train_cfg.max_epochs=2']
    records = []
    for start in (whole.parent, whole):
        done = mim_bench(*words, option, start, *options)
        assert done.returncode == 0, done.stderr[-2000:]
        (path,) = (tmp_path / 'results').glob('*/record.json')
        records.append(read_record(path))
        shutil.rmtree(tmp_path / 'results')
        for name in ('epoch_2.pth', 'last_checkpoint'):  # as after a stop in the second epoch
            (tmp_path / 'work' / name).unlink()
    assert records[0].checkpoint.sha256 == file_sha256(whole)
    assert records[0].checkpoint == records[1].checkpoint
    assert records[0].protocol == records[1].protocol
    done = mim_bench(*words, option, other, *options)
    assert done.returncode == 1
    assert f'was "{weights_of(whole)}" and is "{weights_of(other)}"' in done.stderr
