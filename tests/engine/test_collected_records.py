import json
import re
import shutil
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from mmengine.runner import Runner

from mim_bench.engine.collected_records import Wanted, collect_work_dir
from mim_bench.engine.work_dir import check_finished, find_work_dirs, read_work_dir
from mim_bench.errors import RecordError
from mim_bench.results.collection import collect
from mim_bench.results.protocol_file import read_protocol
from mim_bench.results.store import read_curves, read_record, write_record
from mim_bench.testing.toy_runs import knn_hook, loader, make_runner, record_hook, run_config

SWIN = {'id': 'swin.x', 'method': 'simmim', 'backbone': 'swin-tiny'}
WANTED = Wanted(task='ade20k-upernet', checkpoint=SWIN)


def with_validation(**values):
    return dict(
        val_dataloader=loader(),
        val_evaluator=dict(type='ToyMetric', values=values or {'mIoU': 40.25, 'other': 1.0}),
        val_cfg={},
        log_level='INFO',
    )


def set_metrics(run, *values):
    """Make of each evaluation line of a run one with the next of the values."""
    (path,) = run.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    remaining = iter(values)
    for line in lines:
        if 'mIoU' in line:
            line['mIoU'] = next(remaining)
    path.write_text('\n'.join(map(json.dumps, lines)))


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """The work directory of a plain mmengine run of 2 epochs with a validation after each."""
    work_dir = tmp_path_factory.mktemp('trained') / 'run'
    make_runner(run_config(work_dir, **with_validation()), Runner).train()
    return work_dir


@pytest.fixture
def run(trained, tmp_path):
    """A copy of it to change."""
    return shutil.copytree(trained, tmp_path / 'run')


def collect_one(run, results, wanted=WANTED):
    (path,) = collect_work_dir(run, results, wanted)
    return read_record(path)


def test_collect_work_dir_of_a_plain_run_gives_a_valid_record(run, tmp_path):
    record = collect_one(run, tmp_path / 'results')
    assert record.run_id == 'ade20k-upernet-swin.x-s7'
    assert (record.status, record.origin, record.seed) == ('done', 'collected', 7)
    assert {name: metric.value for name, metric in record.metrics.items()} == {'mIoU': 40.25}
    assert record.primary_metric == 'mIoU'
    assert record.checkpoint.method == 'simmim'
    assert (record.protocol.tier, record.precision, record.load) == ('full', 'fp32', None)
    assert collect(tmp_path / 'results').damaged == []


def test_collect_work_dir_says_where_it_is_from_and_nothing_that_it_does_not_know(run, tmp_path):
    record = collect_one(run, tmp_path / 'results')
    assert record.env['work_dir'] == str(run)
    assert record.env['collected_by'].startswith('mim_bench ')
    assert (record.env['mmcv'], record.env['git']) == ('unknown', 'unknown')
    assert re.match(r'\d+\.\d+', record.env['torch'])
    assert (record.cost.device, record.cost.num_devices) == ('cpu', 1)
    assert record.cost.peak_mem_bytes is record.cost.energy_joules is None
    began = datetime.fromisoformat(record.started_at)
    assert timedelta() <= datetime.now(timezone.utc) - began < timedelta(minutes=5)


def test_collect_work_dir_writes_curves_and_protocol(run, tmp_path):
    record = collect_one(run, tmp_path / 'results')
    folder = tmp_path / 'results' / record.run_id
    (curve,) = read_curves(folder / record.artifacts.curves)
    assert [point[0] for point in curve.points] == list(range(1, 9))
    content = read_protocol(folder / record.artifacts.protocol, record.protocol.hash)
    assert content['task'] == 'ade20k-upernet'


@pytest.mark.parametrize(('best', 'value'), [(False, 30.0), (True, 50.0)])
def test_collect_work_dir_takes_the_last_evaluation_or_the_best(run, tmp_path, best, value):
    set_metrics(run, 50.0, 30.0)
    record = collect_one(run, tmp_path / 'results', replace(WANTED, best=best))
    assert record.metrics['mIoU'].value == value


def test_collect_work_dir_same_protocol_and_metrics_as_the_record_of_the_run(pretraining, tmp_path):
    settings = dict(task='coco-mask-rcnn', name='p', version='2', tier='proxy')
    cfg = pretraining(
        **with_validation(**{'coco/bbox_mAP': 0.25}),
        protocol=settings,
        custom_hooks=[
            dict(type='mim_bench.CostLedgerHook', warmup=0),
            record_hook(
                tmp_path / 'own',
                [dict(task='coco-mask-rcnn')],
                checkpoint=SWIN,
                protocol={name: settings[name] for name in ('name', 'version', 'tier')},
            ),
        ],
    )
    make_runner(cfg).train()
    (own,) = collect(tmp_path / 'own').records
    found = collect_one(Path(cfg.work_dir), tmp_path / 'results', Wanted(checkpoint=SWIN))
    assert found.protocol == own.protocol
    assert found.config.sha256 == own.config.sha256
    assert found.metrics['bbox_mAP'] == own.metrics['bbox_mAP']
    assert (found.task, found.seed, found.run_id) == (own.task, own.seed, own.run_id)
    # The ledger of the run is there, so nothing needs to be taken from the log.
    assert found.cost == own.cost


def test_collect_work_dir_of_a_test_takes_its_metrics(run, tmp_path):
    evaluator = dict(type='ToyMetric', values={'mIoU': 41.5})
    cfg = run_config(
        tmp_path / 'test', **with_validation(), test_dataloader=loader(), test_evaluator=evaluator,
        test_cfg={},
    )  # fmt: skip
    make_runner(cfg).test()
    record = collect_one(tmp_path / 'test', tmp_path / 'results')
    assert record.metrics['mIoU'].value == 41.5
    assert record.cost.wall_s is record.cost.device_hours is record.cost.img_per_s is None


def test_collect_work_dir_again_replaces_its_record(run, tmp_path):
    collect_one(run, tmp_path / 'results')
    set_metrics(run, 1.0, 2.0)
    assert collect_one(run, tmp_path / 'results').metrics['mIoU'].value == 2.0


def test_collect_work_dir_record_of_another_run_is_kept(run, tmp_path):
    record = collect_one(run, tmp_path / 'results')
    other = {**record.env, 'work_dir': 'elsewhere'}
    for rival in (replace(record, origin='run'), replace(record, env=other)):
        write_record(rival, tmp_path / 'results')
        with pytest.raises(RecordError, match=r'record.json exists.*--run-id'):
            collect_work_dir(run, tmp_path / 'results', WANTED)
        assert read_record(tmp_path / 'results' / record.run_id / 'record.json') == rival


def test_collect_work_dir_without_a_metric_is_named(pretraining, tmp_path):
    runner = make_runner(pretraining(log_level='INFO'))
    runner.train()
    with pytest.raises(RecordError, match='no evaluation logged a metric of ade20k-upernet'):
        collect_work_dir(Path(runner.work_dir), tmp_path / 'results', WANTED)
    record = collect_one(
        Path(runner.work_dir), tmp_path / 'results', replace(WANTED, task='pretrain')
    )
    assert (record.metrics, record.primary_metric) == ({}, None)


def test_collect_work_dir_without_a_task_is_named(run, tmp_path):
    with pytest.raises(RecordError, match=r'no protocol with a task. State the task by --task'):
        collect_work_dir(run, tmp_path / 'results', Wanted())


def test_collect_work_dir_not_finite_metric_gives_a_failed_record(run, tmp_path):
    set_metrics(run, 1.0, float('nan'))
    record = collect_one(run, tmp_path / 'results')
    assert (record.status, record.metrics, record.primary_metric) == ('failed', {}, None)
    assert 'not finite: mIoU' in record.error
    assert collect_one(run, tmp_path / 'results', replace(WANTED, best=True)).metrics


def test_collect_work_dir_k_nn_of_a_fine_tuning_is_no_evaluation_of_it(pretraining, tmp_path):
    evaluation = with_validation(**{'accuracy/top1': 61.0})
    runner = make_runner(pretraining(**evaluation, custom_hooks=[knn_hook()]), Runner)
    runner.train()
    wanted = replace(WANTED, task='in1k-ft')
    record = collect_one(Path(runner.work_dir), tmp_path / 'results', wanted)
    assert (record.primary_metric, record.metrics['top1'].value) == ('top1', 61.0)


@pytest.mark.parametrize('text', ['raise OSError("no")', 'a = ('])
def test_collect_work_dir_config_that_is_no_config_is_named(run, tmp_path, text):
    for path in run.rglob('*.py'):
        path.write_text(text)
    with pytest.raises(RecordError, match=r'cannot be read .*nothing says what was measured'):
        collect_work_dir(run, tmp_path / 'results', WANTED)


def test_collect_work_dir_without_a_log_asks_for_the_seed(run, tmp_path):
    for path in run.rglob('*.log'):
        path.unlink()
    for path in run.rglob('*.py'):
        path.write_text(re.sub(r'randomness ?= ?dict\([^)]*\)', '', path.read_text()))
    with pytest.raises(RecordError, match='Give --seed'):
        collect_work_dir(run, tmp_path / 'results', WANTED)
    record = collect_one(run, tmp_path / 'results', replace(WANTED, seed=3))
    assert (record.seed, record.cost.device, record.cost.num_devices) == (3, 'unknown', None)
    assert record.cost.wall_s > 0
    assert record.cost.gpu_hours is record.cost.device_hours is record.cost.img_per_s is None


def test_read_work_dir_what_a_restart_did_again_counts_once(run):
    (start,) = (path for path in run.iterdir() if path.is_dir())
    again = run / '29991231_235959' / 'vis_data'
    again.mkdir(parents=True)
    lines = [{'loss': 0.1, 'time': 1.0, 'step': 7}, {'loss': 0.1, 'time': 1.0, 'step': 8}]
    (again / 'scalars.json').write_text('\n'.join(map(json.dumps, lines)) + '\n{"half')
    (again / 'config.py').write_text((start / 'vis_data' / 'config.py').read_text())
    read = read_work_dir(run)
    assert list(read.iterations) == list(range(1, 9))
    assert read.iterations[7] == lines[0]
    assert read.started_at == read_work_dir(run).started_at


@pytest.mark.parametrize(('step', 'is_finished'), [(80, True), (79, False)])
def test_check_finished_of_a_run_by_iterations(run, step, is_finished):
    read = read_work_dir(run)
    read.cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=80)
    read.iterations[step] = {'loss': 0.5}
    if is_finished:
        check_finished(read)
    else:
        with pytest.raises(RecordError, match='iteration 79 of 80'):
            check_finished(read)


def start_again(run, *, change, scalars=''):
    """Another start in a work directory, an hour later, with a changed config."""
    (first,) = (path for path in run.iterdir() if path.is_dir() and path.name[:2] == '20')
    later = run / f'{int(first.name[:8]) + 10000}_000000'
    shutil.copytree(first, later)
    (later / f'{first.name}.log').rename(later / f'{later.name}.log')
    (later / f'{later.name}.log').write_text('')
    (later / 'vis_data' / 'scalars.json').write_text(scalars)
    config = later / 'vis_data' / 'config.py'
    config.write_text(config.read_text() + change)
    for named in run.glob('*.py'):
        shutil.copy(config, named)
    return first


CHANGE = "\nprotocol = dict(name='other', task='ade20k-upernet')\n"


def test_collect_work_dir_start_that_logged_nothing_says_nothing(run, tmp_path):
    before = collect_one(run, tmp_path / 'before')
    start_again(run, change=CHANGE)
    after = collect_one(run, tmp_path / 'after')
    assert after.protocol.name != 'other'
    assert after.metrics == before.metrics


def test_collect_work_dir_training_begun_anew_does_not_take_the_end_of_the_one_before(
    run, tmp_path
):
    (scalars,) = run.glob('*/vis_data/scalars.json')
    lines = [line for line in scalars.read_text().splitlines() if 'mIoU' not in line]
    start_again(run, change='', scalars=lines[0] + '\n')
    with pytest.raises(RecordError, match='unfinished: it reached epoch 0 of 2'):
        collect_work_dir(run, tmp_path / 'results', WANTED)


def test_collect_work_dir_resumed_with_other_settings_is_refused(run, tmp_path):
    (scalars,) = run.glob('*/vis_data/scalars.json')
    lines = [line for line in scalars.read_text().splitlines() if 'mIoU' not in line]
    start_again(run, change="\noptim_wrapper['optimizer']['lr'] = 7.0\n", scalars=lines[-1] + '\n')
    with pytest.raises(RecordError, match=r'different settings \(optim_wrapper\.optimizer\.lr was'):
        collect_work_dir(run, tmp_path / 'results', WANTED)


def test_collect_work_dir_pretraining_that_never_began_is_no_result(pretraining, tmp_path):
    runner = make_runner(pretraining(log_level='INFO'))
    runner.train()
    work_dir = Path(runner.work_dir)
    for path in (*work_dir.glob('*/vis_data/scalars.json'), work_dir / 'last_checkpoint'):
        path.unlink()
    with pytest.raises(RecordError, match='unfinished: it reached'):
        collect_work_dir(work_dir, tmp_path / 'results', replace(WANTED, task='pretrain'))


def test_find_work_dirs_at_and_below(run):
    assert find_work_dirs(run) == [run]
    assert find_work_dirs(run.parent) == [run]
    with pytest.raises(RecordError, match='no such folder'):
        find_work_dirs(run / 'nowhere')
