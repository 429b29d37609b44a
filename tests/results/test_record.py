"""A record holds what its fields allow, and comes back from its file as it was."""

import json
from dataclasses import replace

import pytest

from mim_bench.errors import RecordError
from mim_bench.results.record import (
    Artifacts,
    Batch,
    ConfigFile,
    Cost,
    LoadReport,
    Picture,
    utc_now,
)
from mim_bench.results.store import record_from_json, record_to_json
from mim_bench.testing.records import (
    make_checkpoint,
    make_metric,
    make_pretraining_record,
    make_record,
)

FULL = make_pretraining_record(
    load=LoadReport(0.995, missing=['backbone.norm.weight'], parts={'backbone': 0.995}),
    artifacts=Artifacts('curves.json', [Picture('a/b.png', 'detection', 'x')]),
    batch=Batch(2, 32, 4, 256, 256, 'accumulate', 'linear', 1.0, None),
    precision='bf16',
    started_at=utc_now(),
)
FAILED = make_record(error='boom', config=ConfigFile('a.py', None))


@pytest.mark.parametrize('record', [make_record(), FULL, FAILED])
def test_record_to_json_and_back_gives_the_same_record(record):
    assert record_from_json(record_to_json(record), 'here') == record


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'run_id': '../up'}, r"run_id: .*pattern.*not '\.\./up'"),
        ({'run_id': '.hidden'}, 'run_id'),
        ({'run_id': 'a\n'}, 'run_id'),
        ({'seed': 1.5}, r'seed: input should be a valid integer.*not 1\.5'),
        ({'seed': 2**60}, 'seed: .*less than or equal to 9007199254740992'),
        ({'started_at': '2026-13-01T00:00:00Z'}, 'started_at: .*month'),
        ({'started_at': '2026-01-01 00:00'}, 'started_at: .*pattern'),
        ({'status': 'failed'}, "status is 'failed' and error is None"),
        ({'error': 'boom', 'status': 'done', 'metrics': {}}, "'done' and error is 'boom'"),
        ({'config': ConfigFile('a.py', None)}, 'config.sha256 is null'),
        ({'primary_metric': 'mIoU'}, r"'mIoU' is not among the metrics \(knn_top1\)"),
        ({'metrics': {'knn_top1': make_metric(float('nan'))}}, r'knn_top1\.value: .*finite.*nan'),
        ({'metrics': {'knn_top1': make_metric(float('inf'))}}, r'knn_top1\.value: .*finite.*inf'),
        ({'metrics': {'knn_top1': make_metric(True)}}, r'knn_top1\.value: .*number, not True'),
        (
            {'metrics': {'knn_top1': replace(make_metric(1.0), split='train')}},
            "'knn_top1' is of no evaluation",
        ),
        ({'env': {'git': 'x'}}, 'env: has no library, mmcv, mmengine, python, torch'),
        ({'artifacts': Artifacts('/etc/passwd')}, r'artifacts\.curves: .*pattern'),
        ({'artifacts': Artifacts('a/../../b')}, r'artifacts\.curves: .*leads out of the folder'),
        ({'load': LoadReport(1.5)}, r'load\.share: .*less than or equal to 1, not 1\.5'),
        ({'schema_version': 2}, 'schema_version is 2.*reads 1'),
        ({'checkpoint': make_checkpoint(labels=['in1k', ''])}, r'checkpoint\.labels\.1: '),
        ({'checkpoint': make_checkpoint(params=0)}, r'checkpoint\.params'),
        ({'checkpoint': make_checkpoint(id='\ud800')}, r'"id": "\\ud800.* is not valid Unicode'),
        ({'origin': 'guess'}, "origin: .*'run' or 'collected', not 'guess'"),
    ],
)  # fmt: skip
def test_record_to_json_value_that_a_field_may_not_hold_raises(changes, reason):
    with pytest.raises(RecordError, match=reason):
        record_to_json(replace(make_record(), **changes))


@pytest.mark.parametrize('text', ['null', '[]', '3', '"text"', '{}', '', '{"a": "\\ud800"}'])
def test_record_from_json_of_something_else_raises(text):
    with pytest.raises(RecordError, match=r'^here: '):
        record_from_json(text, 'here')


@pytest.mark.parametrize('version', [0, 2, True, '1', None, [1]])
def test_record_from_json_of_another_version_raises(version):
    data = {**json.loads(record_to_json(make_record())), 'schema_version': version}
    with pytest.raises(RecordError, match=r'^here: schema_version is .*, this mim_bench reads 1'):
        record_from_json(json.dumps(data), 'here')


@pytest.mark.parametrize(
    ('labels', 'task', 'saw'),
    [
        ([], 'in1k-knn', False),
        (None, 'in1k-knn', None),
        (['in1k'], 'in1k-10pct-ft', True),
        (['in22k'], 'in1k-linear', True),
        (['in22k'], 'imagenet-a-linear', True),
        (['ade20k'], 'imagenet-v2', False),
        (['in1k'], 'ade20k-upernet', False),
        (['in1k', 'coco'], 'coco-htc-plus', True),
    ],
)
def test_checkpoint_saw_labels_of_the_data_set_of_a_task(labels, task, saw):
    assert make_checkpoint(labels=labels).saw_labels_of(task) is saw


@pytest.mark.parametrize(('is_gpu', 'gpu_hours'), [(False, 0.0), (True, 2.0)])
def test_cost_measured_counts_every_device(is_gpu, gpu_hours):
    cost = Cost.measured(wall_s=1800, device='x', is_gpu=is_gpu, num_devices=4)
    assert (cost.gpu_hours, cost.device_hours) == (gpu_hours, 2.0)
