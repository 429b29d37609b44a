from pathlib import Path

import pytest

from mim_bench.cli.main import build_parser
from mim_bench.errors import ConfigError
from mim_bench.suite import demo
from mim_bench.suite.demo import ROWS, find_config, plan_demo
from mim_bench.suite.steps import check_plan

OUT = Path('/nowhere')
PLAN = plan_demo(OUT, 0)
TASKS = ('probe', 'finetune', 'upernet', 'mask-rcnn')


def step(name):
    return next(s for s in PLAN if s.name == name)


def test_plan_is_the_same_every_time_and_touches_no_disk():
    assert plan_demo(OUT, 0) == PLAN
    assert not OUT.exists()


def test_plan_can_run_and_its_commands_parse():
    check_plan(PLAN)
    parser = build_parser()
    for each in PLAN:
        args = parser.parse_args(each.words)
        assert Path(getattr(args, 'config', __file__)).is_file()


def test_plan_has_every_row_and_task():
    names = {s.name for s in PLAN}
    wanted = {f'{task}-{row.checkpoint_id}' for row in ROWS for task in TASKS}
    pretrained = [row.checkpoint_id for row in ROWS if row.method != 'random']
    wanted |= {f'{verb}-{row}' for row in pretrained for verb in ('pretrain', 'convert')}
    wanted |= {f'keep-finetuned-{row.checkpoint_id}' for row in ROWS}
    assert names == wanted | {'data'}


def test_plan_compares_each_method_with_its_own_random_backbone():
    backbones = {row.backbone for row in ROWS if row.method != 'random'}
    assert {row.backbone for row in ROWS if row.method == 'random'} == backbones


def start_of(name):
    words = step(name).words
    return words[words.index('--checkpoint') + 1] if '--checkpoint' in words else None


@pytest.mark.parametrize('task', ['probe', 'finetune'])
def test_plan_classification_of_a_method_starts_from_its_checkpoint(task):
    name = f'{task}-ummae_ummae-swin-toy'
    assert start_of(name) == step('convert-ummae_ummae-swin-toy').words[-1]
    assert step(name).needs == ('convert-ummae_ummae-swin-toy',)


@pytest.mark.parametrize('task', ['probe', 'finetune'])
def test_plan_classification_of_random_weights_has_no_checkpoint(task):
    for row in (row for row in ROWS if row.method == 'random'):
        assert start_of(f'{task}-{row.checkpoint_id}') is None
        assert step(f'{task}-{row.checkpoint_id}').needs == ('data',)


@pytest.mark.parametrize('task', ['upernet', 'mask-rcnn'])
def test_plan_dense_tasks_start_from_the_fine_tuned_backbone_of_their_row(task):
    for row in ROWS:
        keep = step(f'keep-finetuned-{row.checkpoint_id}')
        assert keep.needs == (f'finetune-{row.checkpoint_id}',)
        assert start_of(f'{task}-{row.checkpoint_id}') == keep.words[-1]
        assert step(f'{task}-{row.checkpoint_id}').needs == (keep.name,)


def test_plan_rows_differ_by_checkpoint_only():
    def config(method):
        words = step(f'finetune-{method}_swin-toy').words
        return words[1], words[words.index('--seed') + 1]

    assert config('simmim') == config('random')


def test_plan_records_and_work_dirs_are_each_step_s_own():
    records = [record for s in PLAN for record in s.records]
    folders = [s.work_dir for s in PLAN if s.work_dir]
    assert len(records) == len(set(records))
    assert len(folders) == len(set(folders))
    assert all(OUT in path.parents for path in records + folders)


def test_plan_probe_leaves_two_records():
    names = [path.parent.name for path in step('probe-random_swin-toy').records]
    assert names == [f'probe-random_swin-toy-in1k-{kind}' for kind in ('knn', 'linear')]


def test_plan_trainings_go_on_where_they_stopped():
    trainings = [s for s in PLAN if s.words[0] == 'train']
    assert trainings
    assert all('--auto-resume' in s.words for s in trainings)


def test_plan_other_seed_runs_everything_again():
    other = {s.name: s.fingerprint for s in plan_demo(OUT, 1)}
    changed = [s.name for s in PLAN if s.fingerprint != other[s.name]]
    assert changed == [s.name for s in PLAN]


def test_plan_changed_configs_run_everything_but_the_data_again(monkeypatch):
    monkeypatch.setattr(demo, 'folder_hash', lambda folder: 'other')
    other = {s.name: s.fingerprint for s in plan_demo(OUT, 0)}
    same = [s.name for s in PLAN if s.fingerprint == other[s.name]]
    assert same == ['data']


def test_find_config_none_or_several_raises(tmp_path):
    (tmp_path / 'demo').mkdir()
    with pytest.raises(ConfigError, match='0 configs start with'):
        find_config(tmp_path, 'upernet_')
    for name in ('upernet_a.py', 'upernet_b.py'):
        (tmp_path / 'demo' / name).touch()
    with pytest.raises(ConfigError, match="2 configs start with 'upernet_', not one"):
        find_config(tmp_path, 'upernet_')
    assert find_config(tmp_path, 'upernet_a').name == 'upernet_a.py'
