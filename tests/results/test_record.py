from dataclasses import replace

import pytest

from mim_bench.errors import RecordError
from mim_bench.results.record import (
    Artifacts,
    ConfigFile,
    Cost,
    LoadReport,
    Picture,
    utc_now,
)
from mim_bench.results.record_data import record_from_dict, record_to_dict
from mim_bench.testing.records import make_checkpoint, make_metric, make_record


def test_record_to_dict_and_back_gives_the_same_record():
    record = make_record(
        load=LoadReport(0.995, missing=['backbone.norm.weight']),
        artifacts=Artifacts('curves.json', [Picture('a/b.png', 'detection', 'x')]),
        started_at=utc_now(),
    )
    assert record_from_dict(record_to_dict(record), 'here') == record


def test_record_failed_run_needs_no_metric_and_no_config_hash():
    record = make_record(error='boom', config=ConfigFile('a.py', None))
    assert record_from_dict(record_to_dict(record), 'here').metrics == {}


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'run_id': '../up'}, 'run_id'),
        ({'run_id': '.hidden'}, 'run_id'),
        ({'seed': 1.5}, 'seed.*integer'),
        ({'seed': 2**60}, 'seed.*2\\*\\*53'),
        ({'started_at': '2026-13-01T00:00:00Z'}, 'started_at.*month'),
        ({'started_at': '2026-01-01 00:00'}, 'started_at'),
        ({'status': 'failed'}, 'error'),
        ({'error': 'boom', 'status': 'done', 'metrics': {}}, 'error'),
        ({'config': ConfigFile('a.py', None)}, 'config.sha256'),
        ({'primary_metric': 'mIoU'}, 'mIoU.*not among the metrics'),
        ({'metrics': {'knn_top1': make_metric(float('nan'))}}, 'knn_top1.value.*finite'),
        ({'metrics': {'knn_top1': make_metric(float('inf'))}}, 'knn_top1.value.*finite'),
        ({'metrics': {'knn_top1': make_metric(True)}}, 'knn_top1.value.*number'),
        ({'env': {'git': 'x'}}, "env.*'torch' is a required property"),
        ({'artifacts': Artifacts('/etc/passwd')}, 'artifacts.curves'),
        ({'artifacts': Artifacts('a/../../b')}, 'artifacts.curves'),
        ({'load': LoadReport(1.5)}, 'load'),
        ({'schema_version': 2}, 'schema_version is 2.*writes 1'),
        ({'checkpoint': make_checkpoint(labels=['in1k', ''])}, 'checkpoint.labels'),
        ({'checkpoint': make_checkpoint(params=0)}, 'checkpoint.params'),
        ({'origin': 'guess'}, 'origin'),
        ({'artifacts': Artifacts(outcomes='../x')}, 'artifacts.outcomes'),
    ],
)
def test_record_to_dict_value_outside_the_schema_raises(changes, reason):
    with pytest.raises(RecordError, match=reason):
        record_to_dict(replace(make_record(), **changes))


def test_record_from_dict_half_a_surrogate_pair_raises():
    data = record_to_dict(make_record())
    data['checkpoint']['id'] = '\ud800'
    with pytest.raises(RecordError, match=r'checkpoint.id.*not valid Unicode'):
        record_from_dict(data, 'here')


@pytest.mark.parametrize('data', [None, [], 3, 'text', {}])
def test_record_from_dict_of_another_type_raises(data):
    with pytest.raises(RecordError, match=r'^here: '):
        record_from_dict(data, 'here')


@pytest.mark.parametrize('version', [0, 2, True, '1', None, [1]])
def test_record_from_dict_of_another_version_raises(version):
    data = {**record_to_dict(make_record()), 'schema_version': version}
    with pytest.raises(RecordError, match=r'^here: schema_version is .*, this mim_bench reads 1'):
        record_from_dict(data, 'here')


@pytest.mark.parametrize(
    ('labels', 'task', 'saw'),
    [
        ([], 'in1k-knn', False),
        (None, 'in1k-knn', None),
        (['in1k'], 'in1k-10pct-ft', True),
        (['in22k'], 'in1k-linear', True),
        (['in1k'], 'ade20k-upernet', False),
        (['in1k', 'coco'], 'coco-htc-plus', True),
    ],
)
def test_checkpoint_saw_labels_of_the_data_set_of_a_task(labels, task, saw):
    assert make_checkpoint(labels=labels).saw_labels_of(task) is saw


def test_cost_measured_on_cpu_has_no_gpu_hours():
    cost = Cost.measured(wall_s=1800, device='cpu', is_gpu=False, num_devices=4)
    assert (cost.gpu_hours, cost.device_hours) == (0.0, 2.0)


def test_cost_measured_on_gpu_counts_every_gpu():
    cost = Cost.measured(wall_s=1800, device='NVIDIA H200', is_gpu=True, num_devices=8)
    assert (cost.gpu_hours, cost.device_hours) == (4.0, 4.0)
