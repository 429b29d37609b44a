"""What a record keeps of its evaluation: outcomes by image, settings of the protocol."""

import json

import numpy as np
import pytest
from mmengine.registry import METRICS

from mim_bench.evaluation.outcomes import image_paths, names_of_samples, save_outcomes
from mim_bench.files.hashing import protocol_hash
from mim_bench.results.collection import collect
from mim_bench.results.outcomes import ClassAreas, Hits, ImageSet
from mim_bench.results.outcomes_file import read_outcomes, read_samples
from mim_bench.results.protocol_file import read_protocol
from mim_bench.results.record import Metric
from mim_bench.testing.records import make_metric
from mim_bench.testing.toy_runs import ToyMetric, loader, make_runner, record_hook, test_settings

IMAGES = ImageSet(4, 'ab' * 32)


@METRICS.register_module(force=True)
class HitMetric(ToyMetric):
    """Reports fixed numbers, with outcomes of the given hits."""

    def __init__(self, values, hits):
        super().__init__(values)
        self.outcomes = None
        self._hits = hits

    def compute_metrics(self, results):
        self.outcomes = Hits(IMAGES, {'top1': np.array(self._hits, dtype=bool)})
        return super().compute_metrics(results)


@pytest.fixture
def run(pretraining, tmp_path):
    """Run a config with a record hook; the collection of its records."""

    def go(tasks, protocol=None, *, tests=False, **changes):
        record = record_hook(tmp_path / 'results', tasks)
        record['protocol'] |= protocol or {}
        hooks = [dict(type='mim_bench.CostLedgerHook', warmup=1), record]
        runner = make_runner(pretraining(custom_hooks=hooks, **changes))
        runner.test() if tests else runner.train()
        return collect(tmp_path / 'results')

    return go


def validation(value, hits):
    evaluator = dict(type='HitMetric', values={'accuracy/top1': value}, hits=hits)
    return dict(val_dataloader=loader(), val_evaluator=evaluator, val_cfg={})


def test_record_hook_keeps_the_outcomes_of_the_last_validation(run):
    found = run([dict(task='in1k-ft', metrics=['top1'])], **validation(75.0, [1, 1, 0, 1]))
    (record,) = found.records
    assert record.artifacts.outcomes == 'outcomes.npz'
    outcomes = read_outcomes(found.artifact_path(record, 'outcomes.npz'))
    assert outcomes.hits['top1'].tolist() == [True, True, False, True]


def test_record_hook_outcomes_of_another_value_are_not_kept(run):
    found = run([dict(task='in1k-ft', metrics=['top1'])], **validation(80.0, [1, 1, 0, 1]))
    (record,) = found.records
    assert record.metrics['top1'].value == 80.0
    assert record.artifacts.outcomes is None


def test_record_hook_probes_keep_their_own_outcomes(run):
    tasks = [
        dict(task='in1k-knn', metrics=['knn_top1']),
        dict(task='in1k-linear', metrics=['linear_top1', 'linear_lr']),
    ]
    found = run(tasks, tests=True, **test_settings())
    for record, name in zip(found.records, ('knn_top1', 'linear_top1'), strict=True):
        samples = read_samples(found.artifact_path(record, record.artifacts.outcomes))
        assert list(samples) == [name]
        assert samples[name].value == pytest.approx(record.metrics[name].value)
        assert samples[name].images.num == 9


def test_record_hook_keeps_the_settings_of_the_protocol(run):
    found = run([dict(task='in1k-ft', metrics=['top1'])], **validation(75.0, [1, 1, 0, 1]))
    (record,) = found.records
    content = read_protocol(found.artifact_path(record, 'protocol.json'), record.protocol.hash)
    assert (content['task'], content['name']) == ('in1k-ft', 'toy')
    assert content['settings']['val_evaluator']['type'] == 'HitMetric'
    assert protocol_hash(content) == record.protocol.hash
    text = found.artifact_path(record, 'protocol.json').read_text()
    assert json.loads(text) == content


def test_save_outcomes_of_other_metrics_are_left_alone(tmp_path):
    hits = Hits(IMAGES, {'top1': np.array([1, 0, 0, 1], dtype=bool)})
    assert save_outcomes([hits], {'loss': Metric(1.0, '', False, 'train')}, tmp_path) is None
    assert save_outcomes([], {'top1': make_metric(50.0)}, tmp_path) is None
    assert not list(tmp_path.iterdir())


def test_save_outcomes_rounded_metrics_are_those_of_the_outcomes(tmp_path):
    areas = ClassAreas(IMAGES, 1, *(np.array([n]) for n in (0, 0, 1, 3, 1)))
    # mmdet rounds to a tenth of a point, this package's mIoU to a hundredth.
    assert save_outcomes([areas], {'mIoU': make_metric(33.3)}, tmp_path) == 'outcomes.npz'
    assert save_outcomes([areas], {'mIoU': make_metric(33.4)}, tmp_path) is None


def test_names_of_samples_are_places_where_one_has_no_path():
    assert names_of_samples(['b', 'a']) == ['b', 'a']
    assert names_of_samples(['b', None]) == ['000000000', '000000001']


def test_image_paths_of_a_data_set_that_tells_none():
    assert image_paths([1, 2]) == [None, None]
