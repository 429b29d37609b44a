"""Every command of the documentation: run here on made data, or only parsed, and then why.

Pages that are followed from top to bottom are in ``tests/docs/test_page_walks.py``; that each line
parses and names files that exist, in ``tests/test_docs.py``.
"""

import os
import shutil

import pytest
import torch
from mmengine.registry import DefaultScope

from mim_bench.cli.main import main
from mim_bench.conversion.convert import convert_checkpoint
from mim_bench.registry import MODELS
from mim_bench.results.store import write_record
from mim_bench.suite.selection import parse_tasks
from mim_bench.suite.tasks import load_suite
from mim_bench.testing.pages import PAGES, commands, words_of
from mim_bench.testing.records import make_checkpoint, make_record
from mim_bench.testing.toy_suites import TINY_SWIN

# Commands that are run: their first words.
RUN = (
    'mim-bench checkpoints list',
    'mim-bench convert',
    'mim-bench data check',
    'mim-bench inspect',
    'mim-bench list',
    'mim-bench report',
)
# Commands that are only parsed, and why. What stands first counts, before RUN too.
PARSED = {
    'bash tools/': 'installs, tests, or needs many GPUs or Slurm; tests/tools runs the scripts',
    'pip ': 'installs',
    'source ': 'of the shell',
    'mim-bench checkpoints download': 'the network; tests/cli/test_checkpoints_command.py',
    'mim-bench checkpoints verify': 'official files; tests/cli/test_checkpoints_command.py',
    'mim-bench cancel': 'needs jobs; tests/suite/test_cluster.py',
    'mim-bench status': 'needs jobs; tests/suite/test_cluster.py',
    'mim-bench collect': 'needs the folder of a training; tests/cli/test_collect_command.py',
    'mim-bench data pack': "ImageNet's size: 150 GB; tests/data/test_archives.py",
    'mim-bench data make-toy': 'thousands of images; tests/data makes smaller sets',
    'mim-bench demo': 'minutes; CI runs it',
    'mim-bench doctor': 'tells of the machine; tests/cli/test_doctor.py',
    'mim-bench draw': 'a full-size network; tests/cli/test_draw.py has a small one',
    'mim-bench protocol': 'a config of the clone; tests/cli/test_protocol_command.py',
    'mim-bench profile': 'full-size networks: minutes; tests/cli/test_profile_command.py',
    'mim-bench run': 'hours of GPUs; tests/suite and the walks run small ones',
    'mim-bench test': 'needs real data or a trained model; the walks run small ones',
    'mim-bench train': 'minutes to weeks; the walks run small ones',
}
PARSED_WORDS = {
    'my-mae': "of the README's first steps; tests/docs/test_readme.py runs them",
    '--merge --out': 'folders of two groups; tests/report/test_merge.py',
    '--source': "a file of that method's repository; tests/conversion makes them",
    '--timm': 'a file of that network; tests/conversion makes them',
    '--container': 'a file so wrapped; tests/conversion/test_containers.py',
    'folder-of-a-hub': 'a folder of that name; tests/parity/test_backbones.py',
    'work_dirs/': 'the folder of a training; the walks have one',
    '--to huggingface': 'a ViT under that name; tests/conversion/test_exports.py',
}
# The embedded data set has other counts than this example.
STATUS = {'mim-bench data check ade20k data/subset --expect train=100,val=20': 1}
TINY_VIT = dict(
    type='mim_bench.ViT',
    arch=dict(embed_dims=64, num_layers=2, num_heads=1, feedforward_channels=128),
    img_size=64,
)
ROWS = ('mae-vit-base', 'simmim-vit-base', 'conmim-vit-base')


def reason_not_to_run(line):
    """Why a line is only parsed; None if it is run."""
    prose = ' '.join(words_of(line))
    reasons = [reason for word, reason in PARSED_WORDS.items() if word in prose]
    reasons += [reason for start, reason in PARSED.items() if prose.startswith(start)]
    return reasons[0] if reasons else None


ALL = {line for page in PAGES for line in commands(page)}
CHEAP = sorted(line for line in ALL if reason_not_to_run(line) is None)
SUITES = sorted(line for line in ALL if words_of(line)[:2] == ['mim-bench', 'run'])


def test_every_command_is_run_or_only_parsed_for_a_reason():
    unknown = [line for line in CHEAP if not line.startswith(RUN)]
    assert not unknown, 'add them to RUN, or to PARSED with a reason'


@pytest.fixture(scope='module')
def made(toy_root, tmp_path_factory):
    """A folder of data, records and checkpoints under the names that the pages use."""
    folder = tmp_path_factory.mktemp('made')
    shutil.copytree(toy_root, folder / 'data')
    own = {'subset': 'ade', 'streets': 'ade', 'flowers': 'imagenet', 'parts': 'coco'}
    for name, layout in own.items():
        shutil.copytree(folder / 'data' / layout, folder / 'data' / name)
    for number, name in enumerate(ROWS):
        checkpoint = make_checkpoint(
            id=name, method=name.partition('-')[0], sha256=f'{number}' * 64
        )
        write_record(make_record(checkpoint=checkpoint), folder / 'results')
        write_record(make_record(checkpoint=checkpoint), folder / 'bench' / 'results')
    for name, config in (('official', TINY_SWIN), ('vit-base', TINY_VIT)):
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            network = MODELS.build(dict(config))
        state = {f'backbone.{key}': value for key, value in network.state_dict().items()}
        torch.save({'state_dict': state}, folder / 'bare.pth')
        convert_checkpoint(folder / 'bare.pth', folder / f'{name}.pth')
    shutil.copy(folder / 'official.pth', folder / 'swin-tiny.pth')
    (folder / 'checkpoints').mkdir()
    shutil.copy(folder / 'official.pth', folder / 'checkpoints' / 'swin-toy.ummae.pth')
    return folder


@pytest.mark.parametrize('line', CHEAP)
def test_command_runs(line, made, tmp_path, monkeypatch, capsys):
    # Links: no command writes into a file that is there, it puts another in its place.
    shutil.copytree(made, tmp_path, copy_function=os.link, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    words = words_of(line.replace('--workers 16', '--workers 1'))  # a process takes a second
    assert main(words[1:]) == STATUS.get(line, 0), capsys.readouterr().err


@pytest.mark.parametrize('line', SUITES)
def test_suite_of_the_pages_has_the_tasks_that_are_asked_for(line):
    words = words_of(line)
    name = words[words.index('--suite') + 1] if '--suite' in words else 'full'
    # docs/own-task.md has files of its own; the walk runs them.
    if '--tasks' in words and 'mytasks/' not in line:
        assert parse_tasks(words[words.index('--tasks') + 1], load_suite(name))
