from pathlib import Path

import pytest

from mim_bench.cli.main import build_parser
from mim_bench.errors import ConfigError
from mim_bench.suite import demo
from mim_bench.suite import plan as plan_module
from mim_bench.suite.demo import FULL, QUICK, find_config, plan_demo
from mim_bench.suite.steps import check_plan

OUT = Path('/nowhere')
PLAN = plan_demo(OUT, 0)
ENTRIES = ('toy-probe', 'toy-ft', 'toy-upernet', 'toy-mask-rcnn')


def step(name):
    return next(s for s in PLAN if s.name == name)


@pytest.mark.parametrize('which', [QUICK, FULL], ids=['quick', 'full'])
def test_plan_has_every_row_and_task_and_its_commands_parse(which):
    plan = plan_demo(OUT, 0, demo=which)
    check_plan(plan)
    parser = build_parser()
    for each in plan:
        args = parser.parse_args(each.words)
        assert Path(getattr(args, 'config', __file__)).is_file()
        assert each.seconds
    wanted = {f'{entry}-{row}-s0' for entry in ENTRIES for row in which.row_ids}
    pretrained = [f'{method}_{backbone}' for method, backbone in which.rows]
    wanted |= {f'{verb}-{row}' for row in pretrained for verb in ('pretrain', 'convert')}
    wanted |= {f'keep-toy-ft-{row}-s0' for row in which.row_ids}
    assert {s.name for s in plan} == wanted | {'data'}
    assert not OUT.exists()


def start_of(name):
    words = step(name).words
    return words[words.index('--checkpoint') + 1] if '--checkpoint' in words else None


@pytest.mark.parametrize('entry', ['toy-probe', 'toy-ft'])
def test_plan_classification_of_a_method_starts_from_its_checkpoint(entry):
    name = f'{entry}-localmim_vit-toy-s0'
    assert start_of(name) == step('convert-localmim_vit-toy').words[-1]
    assert step(name).needs == ('data', 'convert-localmim_vit-toy')


@pytest.mark.parametrize('entry', ['toy-probe', 'toy-ft'])
def test_plan_classification_of_random_weights_has_no_checkpoint(entry):
    for backbone in QUICK.random_backbones:
        assert start_of(f'{entry}-random_{backbone}-s0') is None
        assert step(f'{entry}-random_{backbone}-s0').needs == ('data',)


@pytest.mark.parametrize('entry', ['toy-upernet', 'toy-mask-rcnn'])
def test_plan_dense_tasks_start_from_the_fine_tuned_backbone_of_their_row(entry):
    for row in QUICK.row_ids:
        keep = step(f'keep-toy-ft-{row}-s0')
        assert keep.needs == (f'toy-ft-{row}-s0',)
        assert start_of(f'{entry}-{row}-s0') == keep.words[-1]
        assert step(f'{entry}-{row}-s0').needs == ('data', keep.name)


def test_plan_records_and_work_dirs_are_each_step_s_own():
    records = [record for s in PLAN for record in s.records]
    folders = [s.work_dir for s in PLAN if s.work_dir]
    assert len(records) == len(set(records))
    assert len(folders) == len(set(folders))
    assert all(OUT in path.parents for path in records + folders)


def test_plan_changed_configs_run_everything_but_the_data_again(monkeypatch):
    for module in (demo, plan_module):
        monkeypatch.setattr(module, 'config_hash', lambda path: 'other')
    other = {s.name: s.fingerprint for s in plan_demo(OUT, 0)}
    same = [s.name for s in PLAN if s.fingerprint == other[s.name]]
    assert same == ['data']


def test_find_config_none_or_several_raises(tmp_path):
    (tmp_path / 'demo').mkdir()
    with pytest.raises(ConfigError, match='0 configs match'):
        find_config(tmp_path, 'upernet_*')
    for name in ('upernet_a.py', 'upernet_b.py'):
        (tmp_path / 'demo' / name).touch()
    with pytest.raises(ConfigError, match=r"2 configs match 'upernet_\*', not one"):
        find_config(tmp_path, 'upernet_*')
    assert find_config(tmp_path, 'upernet_a').name == 'upernet_a.py'
