import os
import time
from dataclasses import asdict

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook

from mim_bench.engine.hooks.record_hook import record_failure
from mim_bench.engine.run_record import make_protocol
from mim_bench.errors import ConfigError, ResultError, TrainingError
from mim_bench.results.record import Batch, LoadReport
from mim_bench.results.store import read_curves, read_record
from mim_bench.testing.toy_runs import knn_hook, loader, make_runner, record_hook, test_settings

VALIDATION = dict(
    val_dataloader=loader(),
    val_evaluator=dict(type='ToyMetric', values={'coco/bbox_mAP': 0.25, 'other': 1}),
    val_cfg={},
)


@pytest.fixture
def results(tmp_path):
    return tmp_path / 'results'


@pytest.fixture
def recorded(pretraining, results):
    """Factory of configs with a ledger and a record hook."""

    def make(tasks, *more_hooks, checkpoint_id='toy', **changes):
        checkpoint = dict(id=checkpoint_id, method='toy', backbone='conv')
        record = record_hook(results, tasks, checkpoint=checkpoint)
        hooks = [dict(type='mim_bench.CostLedgerHook', warmup=1), *more_hooks, record]
        return pretraining(custom_hooks=hooks, **changes)

    return make


def test_record_hook_pretraining_has_loss_cost_curves_and_pictures(recorded, results):
    pictures = dict(type='mim_bench.ReconstructionHook', dataloader=loader())
    unsmoothed = dict(type='LogProcessor', window_size=1)
    cfg = recorded(
        [dict(task='pretrain', metrics=['loss', 'knn_top1'])],
        pictures,
        knn_hook(),
        log_processor=unsmoothed,
    )
    make_runner(cfg).train()
    record = read_record(results / 'pretrain-toy-s7' / 'record.json')
    assert record.status == 'done'
    assert record.primary_metric == 'loss'
    assert record.checkpoint.params == 4 * 3 * 3 * 3 + 4  # the toy's convolution
    assert record.seed == 7
    assert record.cost.img_per_s > 0
    assert record.cost.wall_s > 0
    assert record.env['library'] == 'unknown'
    curves = {c.series: c for c in read_curves(results / 'pretrain-toy-s7' / 'curves.json')}
    assert [step for step, _ in curves['loss'].points] == list(range(1, 9))
    assert [step for step, _ in curves['knn_top1'].points] == [0, 1, 2]
    last_epoch = [value for step, value in curves['loss'].points if step > 4]
    assert record.metrics['loss'].value == pytest.approx(sum(last_epoch) / 4)
    assert record.metrics['knn_top1'].value == curves['knn_top1'].points[-1][1]
    (picture,) = record.artifacts.pictures
    assert (results / 'pretrain-toy-s7' / picture.path).read_bytes()[1:4] == b'PNG'


def test_record_hook_training_has_precision_and_batch(recorded, results):
    batch = Batch(2, 3, 4, 24, 48, 'scale-lr', 'linear', 0.5, 0.1)
    make_runner(recorded([dict(task='pretrain')], batch_plan=asdict(batch))).train()
    record = read_record(results / 'pretrain-toy-s7' / 'record.json')
    assert (record.precision, record.batch) == ('fp32', batch)


def test_record_hook_training_has_the_last_validation(recorded, results):
    make_runner(recorded([dict(task='coco', metrics=['bbox_mAP'])], **VALIDATION)).train()
    record = read_record(results / 'coco-toy-s7' / 'record.json')
    assert {name: m.value for name, m in record.metrics.items()} == {'bbox_mAP': 25.0}


def test_record_hook_one_test_gives_two_records(recorded, results):
    tasks = [
        dict(task='in1k-knn', metrics=['knn_top1']),
        dict(task='in1k-linear', metrics=['linear_top1', 'linear_lr'], run_id='linear'),
    ]
    runner = make_runner(recorded(tasks, **test_settings()))
    runner.load_report = LoadReport(0.995, ['a'], [])
    metrics = runner.test()
    knn, linear = (read_record(results / n / 'record.json') for n in ('in1k-knn-toy-s7', 'linear'))
    assert knn.metrics['knn_top1'].value == metrics['knn/top1']
    assert list(linear.metrics) == ['linear_lr', 'linear_top1']
    assert linear.primary_metric == 'linear_top1'
    assert knn.protocol.hash != linear.protocol.hash
    assert knn.load == LoadReport(0.995, ['a'], [])
    assert knn.cost.wall_s > 0
    assert knn.cost.img_per_s is None
    assert knn.batch is None


def test_record_hook_missing_metric_raises(recorded, results):
    tasks = [dict(task='coco-gfl', metrics=['bbox_mAP', 'segm_mAP']), dict(task='coco-htc')]
    runner = make_runner(recorded(tasks, **VALIDATION))
    with pytest.raises(ResultError, match=r"'coco-gfl' asks for segm_mAP; .*measured .*bbox_mAP"):
        runner.train()
    gfl, htc = (read_record(results / f'coco-{n}-toy-s7' / 'record.json') for n in ('gfl', 'htc'))
    assert (gfl.status, gfl.metrics, htc.status) == ('failed', {}, 'done')
    assert 'asks for segm_mAP' in gfl.error


@pytest.mark.parametrize('values', [{'mIoU': float('nan')}, {'coco/bbox_mAP': 0.5}, {'aAcc': 9.0}])
def test_record_hook_without_a_valid_primary_metric_is_failed(recorded, results, values):
    validation = {**VALIDATION, 'val_evaluator': dict(type='ToyMetric', values=values)}
    runner = make_runner(recorded([dict(task='ade20k-upernet')], **validation))
    with pytest.raises(ResultError, match=r'ade20k-upernet: .*not (finite|measured): mIoU'):
        runner.train()
    record = read_record(results / 'ade20k-upernet-toy-s7' / 'record.json')
    assert (record.status, record.metrics, record.primary_metric) == ('failed', {}, None)
    assert record.cost.wall_s > 0


def test_record_hook_killed_in_the_last_validation_validates_again(recorded, results):
    class KilledError(Exception):
        pass

    class Killer(Hook):
        def after_val_iter(self, runner, **_):
            if runner.epoch == 2:
                raise KilledError

    cfg = recorded([dict(task='coco', metrics=['bbox_mAP'])], **VALIDATION)
    first = make_runner(cfg)
    first.register_hook(Killer())
    with pytest.raises(KilledError):
        first.train()
    cfg.resume = True
    second = make_runner(cfg)
    second.train()
    assert second.iter == 8
    record = read_record(results / 'coco-toy-s7' / 'record.json')
    assert record.metrics['bbox_mAP'].value == 25.0


def test_record_hook_without_ledger_raises_before_training(recorded):
    cfg = recorded([dict(task='pretrain')])
    cfg.custom_hooks = cfg.custom_hooks[1:]
    runner = make_runner(cfg)
    with pytest.raises(ConfigError, match='Add dict'):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('tasks', [dict(tsak='x')], r'RecordHook: tasks: .*tsak'),
        ('checkpoint', dict(id='x'), 'RecordHook: checkpoint: .*method'),
    ],
)
def test_record_hook_wrong_field_raises(recorded, key, value, message):
    cfg = recorded([dict(task='pretrain')])
    cfg.custom_hooks[-1][key] = value
    with pytest.raises(ConfigError, match=message):
        make_runner(cfg)


def test_record_failure_of_a_run_has_cost_and_error(recorded, results):
    finite = dict(type='mim_bench.FiniteLossHook')
    cfg = recorded([dict(task='pretrain')], finite, train_dataloader=loader(nan_at=7))
    runner = make_runner(cfg)
    with pytest.raises(TrainingError) as caught:
        runner.train()
    (path,) = record_failure(caught.value, cfg=runner.cfg, runner=runner)
    record = read_record(path)
    assert (record.status, record.metrics) == ('failed', {})
    assert 'images/7.jpg' in record.error
    assert record.cost.wall_s > 0
    assert record.cost.img_per_s > 0


def test_record_failure_before_there_is_a_runner_is_written(recorded, results):
    cfg = recorded([dict(task='a'), dict(task='b')])
    paths = record_failure(KeyError('no such thing'), cfg=cfg)
    assert [path.parent.name for path in paths] == ['a-toy-s7', 'b-toy-s7']
    assert read_record(paths[0]).error == "KeyError: 'no such thing'"


def test_record_failure_leaves_a_done_record(recorded, results):
    cfg = recorded([dict(task='pretrain')])
    make_runner(cfg).train()
    before = (results / 'pretrain-toy-s7' / 'record.json').read_bytes()
    assert record_failure(RuntimeError('later'), cfg=cfg) == []
    assert (results / 'pretrain-toy-s7' / 'record.json').read_bytes() == before


def test_record_failure_first_process_to_fail_names_the_cause(recorded, results):
    runners = [make_runner(recorded([dict(task='pretrain')])) for _ in range(2)]
    (path,) = record_failure(RuntimeError('the cause'), cfg=runners[0].cfg, runner=runners[0])
    later = record_failure(RuntimeError('peer left'), cfg=runners[1].cfg, runner=runners[1])
    assert later == []
    assert read_record(path).error == 'RuntimeError: the cause'


def test_record_failure_of_an_earlier_launch_is_replaced(recorded, results):
    (path,) = record_failure(RuntimeError('first launch'), cfg=recorded([dict(task='pretrain')]))
    os.utime(path, (time.time() + 3600,) * 2)  # by the clock of the file server
    (path,) = record_failure(RuntimeError('second'), cfg=recorded([dict(task='pretrain')]))
    assert read_record(path).error == 'RuntimeError: second'


def test_record_failure_that_cannot_be_written_does_not_raise(recorded, results):
    results.write_text('a file where the folder should be')
    assert record_failure(RuntimeError('x'), cfg=recorded([dict(task='pretrain')])) == []


def test_record_failure_without_hook_writes_nothing():
    assert record_failure(RuntimeError('x'), cfg=Config({'custom_hooks': []})) == []


@pytest.mark.parametrize('name', ['a\n', 'a/b', '/a', '.a', 'a' * 300])
def test_record_of_a_name_that_none_can_have_stops_before_the_first_step(name, recorded):
    runner = make_runner(recorded([dict(task='pretrain', run_id=name)]))
    with pytest.raises(ConfigError, match='the name of a folder is needed'):
        runner.train()
    assert runner.iter == 0


@pytest.mark.parametrize(
    ('task', 'data', 'tier'),
    [
        ('in1k-ft', {'train': 1_281_167, 'evaluated': 50_000}, 'full'),
        ('in1k-knn', {'bank': 40, 'evaluated': 50_000}, 'smoke'),
        ('in1k-knn', {'bank': 1_281_167, 'evaluated': 20}, 'smoke'),
        ('in1k-ft', {'train': 640_000, 'evaluated': 50_000}, 'smoke'),
        ('coco-gfl', {'train': 117_266, 'evaluated': 5_000}, 'full'),  # without empty images
        ('imagenet-a', {'evaluated': 7_500}, 'full'),
        ('flowers-ft', {'train': 40, 'evaluated': 20}, 'full'),
    ],
)
def test_record_on_other_data_than_its_task_names_is_smoke(task, data, tier):
    content = {part: {'images': number} for part, number in data.items()}
    settings = dict(name='p', version='1', tier='full')
    assert make_protocol(settings, task, Config(dict(protocol_data=content))).tier == tier


def test_record_of_a_part_of_the_labels_may_train_on_fewer():
    part = dict(dataset=dict(type='mim_bench.LabelFraction'))
    content = dict(train=dict(images=12_811), evaluated=dict(images=50_000))
    cfg = Config(dict(protocol_data=content, train_dataloader=part))
    assert (
        make_protocol(dict(name='p', version='1', tier='full'), 'in1k-1pct-ft', cfg).tier == 'full'
    )
