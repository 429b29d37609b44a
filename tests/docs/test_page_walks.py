"""Pages that a reader follows from top to bottom: their files are written, their commands run.

The commands run as they are written; the embedded data set has fewer images. What is left out, and
why, is in ``LEFT_OUT``; ``tests/docs/test_page_commands.py`` holds those lines to the parser.
"""

import dataclasses
import shutil

import pytest

from mim_bench import shipped
from mim_bench.cli.main import main
from mim_bench.results.collection import collect
from mim_bench.suite import plan
from mim_bench.testing.pages import ROOT, commands, words_of, write_files

LEFT_OUT = {
    'mim-bench data make-toy': 'the set of the fixture has fewer images',
    'mim-bench demo': 'takes minutes; CI runs it, and tests/suite/test_demo_plan.py its plan',
    'bash tools/setup.sh': 'installs; tests/tools/test_setup.py runs it',
    'source ': 'of the shell',
    'mim-bench data check': 'real data sets; tests/data checks made ones',
}
MAKE_DATA = plan.make_data
# What each page leaves in its folder: checkpoint ids and tasks of the records that are done.
WALKS = {
    'own-method.md': {'colourmim': {'pretrain', 'in1k-knn', 'in1k-linear'}},
    'own-backbone.md': {'my-net': {'in1k-ft'}},
    'own-task.md': {'mine': {'in1k-frozen'}},
    'own-checkpoint.md': {'mine': {'in1k-knn', 'in1k-linear'}},
}
SLOW = {'own-backbone.md', 'own-task.md', 'own-checkpoint.md'}


@pytest.fixture
def clone(inputs, tmp_path, monkeypatch):
    """A folder like a clone's root, with configs that a page may add to, data and a checkpoint."""
    shutil.copytree(ROOT / 'configs', tmp_path / 'configs')
    (tmp_path / 'checkpoints').mkdir()
    shutil.copy(ROOT / 'checkpoints' / 'manifest.yml', tmp_path / 'checkpoints')
    data, checkpoint = inputs
    shutil.copytree(data, tmp_path / 'data' / 'toy')
    shutil.copy(checkpoint, tmp_path / 'official.pth')
    monkeypatch.setattr(plan, 'make_data', make_small_data)
    monkeypatch.setattr(shipped, '_PACKAGE', tmp_path / 'mim_bench')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def is_walked(line):
    if line.startswith('mim-bench run') or ' mim-bench run' in line:
        # Others need ImageNet, ADE20K and COCO.
        return '--suite smoke' in line
    return not line.startswith(tuple(LEFT_OUT))


def make_small_data(places, seed):
    """The step that draws the embedded data of a suite, with fewer images."""
    step = MAKE_DATA(places, seed)
    return dataclasses.replace(step, words=(*step.words, '--size', 'small'))


@pytest.mark.parametrize(
    'name',
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in WALKS],
)
def test_page_followed_from_top_to_bottom_leaves_its_records(name, clone, capfd):
    page = ROOT / 'docs' / name
    write_files(page, clone)
    for line in filter(is_walked, commands(page)):
        program, *words = words_of(line)
        assert program == 'mim-bench', line
        status = main(words)
        assert status == 0, f'{line}\n{capfd.readouterr().err[-3000:]}'
    done: dict[str, set[str]] = {}
    for folder in (clone / 'results', clone / 'bench' / 'results'):
        for record in collect(folder).records if folder.is_dir() else ():
            assert record.status == 'done', record.error
            done.setdefault(record.checkpoint.id, set()).add(record.task)
    assert done == WALKS[name]
