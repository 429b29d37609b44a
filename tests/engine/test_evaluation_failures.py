"""What fails in an evaluation is one message with its place, and the record says ``failed``."""

import os
import signal

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.registry import DATASETS, HOOKS, METRICS, VISBACKENDS
from mmengine.visualization import BaseVisBackend

from mim_bench.engine.launch import _recorded
from mim_bench.engine.runner import BenchRunner
from mim_bench.errors import MimBenchError
from mim_bench.results.store import read_record
from mim_bench.testing.toy_runs import (
    ToyImages,
    ToyMetric,
    loader,
    make_runner,
    record_hook,
    test_settings,
)

pytestmark = pytest.mark.usefixtures('impatient_loaders')

TRIED = 2  # images that are tried before the first step
NOT_A_NUMBER = float('nan')
ERRORS = {  # a config cannot hold them
    'value': ValueError('shapes (3,) and (4,)'),
    'call': TypeError("got an unexpected keyword argument 'axis'"),
    'library': torch.linalg.LinAlgError('singular matrix'),
    'key': KeyError('pred_score'),
}


class LateMetric(BaseMetric):
    """Gives ``late`` as its value once all images were seen, or raises the error of that name.

    ``early`` does so in the trial before the first step.
    """

    def __init__(self, late, early=50.0):
        super().__init__()
        self.late, self.early = late, early

    def process(self, data_batch, data_samples):
        self.results.append(len(data_samples))

    def compute_metrics(self, results):
        value = self.late if sum(results) > TRIED else self.early
        if isinstance(value, str) and value in ERRORS:
            raise ERRORS[value]
        return value if isinstance(value, dict) or value == 'none' else {'accuracy/top1': value}

    def evaluate(self, size):
        found = super().evaluate(size)
        return None if found == 'none' else found


class BatchMetric(ToyMetric):
    """Fails on the batch with the tenth image."""

    def process(self, data_batch, data_samples):
        if any(s.metainfo['sample_idx'] == 9 for s in data_batch['data_samples']):
            raise IndexError('list index out of range')
        super().process(data_batch, data_samples)


class LateHook(Hook):
    def after_val_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if batch_idx == 2:
            raise AttributeError('a picture without a name')


class LateBackend(BaseVisBackend):
    """Fails as soon as a metric is written."""

    def _init_env(self):
        self._env_initialized = True

    @property
    def experiment(self):
        return self

    def add_scalars(self, scalar_dict, step=0, file_path=None, **kwargs):
        if 'accuracy/top1' in scalar_dict:
            raise RuntimeError('HTTP 500 of the tracking server')


class LateImages(ToyImages):
    """The image before the last one, which the trial does not read, fails in its own way."""

    def __init__(self, how, length=12):
        super().__init__(length)
        self.how = how

    def get_data_info(self, index):
        return {'img_path': f'images/{index}.jpg'}

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index != len(self) - 2:
            return sample
        if self.how == 'size':
            return {**sample, 'inputs': torch.zeros(3, 9, 8)}
        if self.how == 'error':
            raise ZeroDivisionError('float division by zero')
        os.kill(os.getpid(), getattr(signal, self.how))
        return sample


CLASSES = [
    *((METRICS, cls) for cls in (LateMetric, BatchMetric)),
    (HOOKS, LateHook),
    (VISBACKENDS, LateBackend),
    (DATASETS, LateImages),
]


@pytest.fixture(autouse=True)
def _registered():
    for registry, cls in CLASSES:
        registry.register_module(module=cls, force=True)
    yield
    for registry, cls in CLASSES:
        registry.module_dict.pop(cls.__name__)


@pytest.fixture
def failed(pretraining, tmp_path, monkeypatch):
    """Runs a config that must fail; its message, and the error in its record."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'images').mkdir()
    for number in range(12):
        (tmp_path / f'images/{number}.jpg').touch()

    def run(*hooks, metric=None, images=None, action='train', **changes):
        record = record_hook(tmp_path / 'results', [dict(task='in1k-ft', run_id='mine')])
        ledger = dict(type='mim_bench.CostLedgerHook', warmup=1)
        metric = metric or dict(type='ToyMetric', values={'accuracy/top1': 50.0})
        settings = dict(val_dataloader=images or loader(), val_evaluator=metric, val_cfg={})
        cfg = pretraining(**settings, custom_hooks=[ledger, *hooks, record], **changes)
        runner = make_runner(cfg, BenchRunner)
        with pytest.raises(MimBenchError) as caught, _recorded(cfg) as held:  # noqa: PT012
            held.runner = runner
            getattr(runner, action)()
        text = str(caught.value)
        assert '\n' not in text
        found = read_record(tmp_path / 'results' / 'mine' / 'record.json')
        assert (found.status, found.metrics, found.primary_metric) == ('failed', {}, None)
        return text, runner, found.error

    return run


@pytest.mark.parametrize(
    ('late', 'message'),
    [
        ('value', 'ValueError: shapes (3,) and (4,). The traceback is'),
        ('call', "argument 'axis'. The traceback"),
        ('library', 'LinAlgError: singular matrix'),
        ('none', "'NoneType' object has no attribute 'keys'"),
    ],
    ids=['value', 'call', 'library', 'no metrics'],
)
def test_metric_that_fails_at_the_end(failed, late, message):
    text, runner, recorded = failed(metric=dict(type='LateMetric', late=late))

    place = 'validation after iteration 4 of epoch 1, after its last batch: '
    assert place in text
    assert message in text
    assert message.split('.')[0] in recorded
    assert runner.iter == 4


@pytest.mark.parametrize(
    ('late', 'message'),
    [
        (NOT_A_NUMBER, 'not finite: top1'),
        (float('inf'), 'not finite: top1'),
        (None, 'not measured: top1; the run measured'),
        ('56.2 %', 'not measured: top1'),
        ({}, 'not measured: top1'),
        ({'other/top1': 50.0}, 'not measured: top1; the run measured other/top1 = 50'),
    ],
    ids=['nan', 'infinite', 'None', 'text', 'no key', 'another key'],
)
def test_primary_metric_that_is_no_number(failed, late, message):
    text, runner, _ = failed(metric=dict(type='LateMetric', late=late))

    assert text.startswith('in1k-ft: no valid result')
    assert message in text
    assert runner.iter == 8  # the last evaluation decides


@pytest.mark.parametrize('early', [None, {'accuracy': 50.0}, {}], ids=['None', 'key', 'nothing'])
def test_primary_metric_that_is_none_already_in_the_trial(failed, early):
    text, runner, _ = failed(metric=dict(type='LateMetric', late=50.0, early=early))

    assert 'not measured: top1' in text
    assert runner.iter == 0


def test_metric_that_fails_in_the_trial_says_so(failed):
    text, runner, _ = failed(metric=dict(type='LateMetric', late=50.0, early='key'))

    assert 'trying the evaluation before the first step, at its end: KeyError' in text
    assert runner.iter == 0


@pytest.mark.parametrize(
    'watcher',
    [
        dict(default_hooks=dict(checkpoint=dict(type='CheckpointHook', save_best='top1'))),
        dict(custom=dict(type='EarlyStoppingHook', monitor='top1')),
    ],
    ids=['best checkpoint', 'early stopping'],
)
def test_hook_that_waits_for_another_metric_stops_before_the_first_step(failed, watcher):
    hooks = [watcher.pop('custom')] if 'custom' in watcher else []
    text, runner, _ = failed(*hooks, **watcher)

    assert "waits for the metric 'top1', the evaluation gives accuracy/top1" in text
    assert runner.iter == 0


def test_metric_and_hook_that_fail_on_a_batch_name_its_images(failed):
    metric = dict(type='BatchMetric', values={'accuracy/top1': 50.0})
    text, _, _ = failed(metric=metric)
    assert 'validation after iteration 4 of epoch 1, images images/9.jpg, images/10.jpg' in text
    assert 'IndexError: list index out of range' in text


def test_hook_that_fails_after_a_batch_names_its_images(failed):
    text, _, _ = failed(dict(type='LateHook'))

    assert 'epoch 1, images images/6.jpg, images/7.jpg, images/8.jpg: AttributeError: a' in text


def test_visualiser_that_fails_is_one_message(failed):
    visualizer = dict(type='Visualizer', vis_backends=[dict(type='LateBackend')])
    text, _, _ = failed(visualizer=visualizer)

    assert (
        'validation after iteration 4 of epoch 1, after its last batch: RuntimeError: HTTP' in text
    )


@pytest.mark.parametrize('workers', [0, 1])
@pytest.mark.parametrize(
    ('how', 'message'),
    [
        ('error', 'images/10.jpg: cannot be made a sample: ZeroDivisionError: float division'),
        ('size', 'images/9.jpg (8 x 8), images/10.jpg (9 x 8), images/11.jpg (8 x 8): cannot be'),
    ],
)
def test_validation_image_that_cannot_be_used_is_named(failed, how, message, workers):
    images = {**loader(type='LateImages', how=how), 'num_workers': workers}
    text, runner, _ = failed(images=images)

    assert text.startswith(message)
    assert runner.iter == 4


@pytest.mark.parametrize('how', ['SIGKILL', 'SIGBUS'])
def test_validation_worker_that_dies_is_told_with_its_remedy(failed, how):
    text, _, _ = failed(images={**loader(type='LateImages', how=how), 'num_workers': 1})

    assert 'validation after iteration 4 of epoch 1' in text
    assert 'Lower num_workers, or give the container more' in text


def test_probe_whose_images_fail_is_recorded_as_failed(failed):
    settings = test_settings()
    settings['test_dataloader'] = loader(type='LateImages', how='error')
    text, _, _ = failed(action='test', **settings)

    assert text.startswith('images/10.jpg: cannot be made a sample: ZeroDivisionError')
