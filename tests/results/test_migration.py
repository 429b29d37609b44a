import copy
import json

import pytest

from mim_bench.errors import RecordError
from mim_bench.results import migration
from mim_bench.results.migration import STEPS, newest_version
from mim_bench.results.record import SCHEMA_VERSION, Batch, Cost, LoadReport
from mim_bench.results.record_data import record_from_dict, record_to_dict
from mim_bench.results.store import collect, read_record, write_record
from mim_bench.results.validation import check_schema

# As version 1 wrote it, before precision and batch were kept; every field that it could leave out
# is left out.
OLD = """{
  "artifacts": {"curves": "curves.json", "pictures": []},
  "checkpoint": {
    "backbone": "swin-tiny", "id": "swin-tiny.ummae-10e", "method": "ummae",
    "pretrain_epochs": 10, "sha256": null, "source": "mim_bench"
  },
  "config": {
    "path": "configs/demo/example.py",
    "sha256": "cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"
  },
  "cost": {
    "data_wait_share": 0.25, "device": "cpu", "device_hours": 0.5, "gpu_hours": 0.0,
    "img_per_s": 12.5, "num_devices": 1, "peak_mem_bytes": 1048576, "wall_s": 1800.0
  },
  "env": {
    "git": "abc", "library": "mmpretrain 1.3.6", "mmcv": "2.3.6", "mmengine": "0.10.12",
    "python": "3.11.2", "torch": "2.11.0"
  },
  "error": null,
  "load": {"missing": ["backbone.norm.weight"], "share": 0.995, "unexpected": []},
  "metrics": {
    "knn_top1": {"higher_is_better": true, "split": "val", "unit": "%", "value": 51.25}
  },
  "primary_metric": "knn_top1",
  "protocol": {"hash": "0123456789ab", "name": "in1k-knn", "tier": "smoke", "version": "1"},
  "run_id": "in1k-knn-swin-tiny.ummae-10e-s0",
  "schema_version": 1,
  "seed": 0,
  "started_at": "2026-01-01T00:00:00+00:00",
  "status": "done",
  "task": "in1k-knn"
}"""
# As version 1 wrote it later.
BATCH = {
    'gpus': 2, 'images_per_gpu': 32, 'accumulation': 4, 'effective_batch': 256,
    'recipe_batch': 256, 'keep': 'accumulate', 'lr_scaling': 'linear', 'lr_factor': 1.0, 'lr': 0.01,
}  # fmt: skip
LATER = {
    **json.loads(OLD),
    'precision': 'fp16',
    'batch': BATCH,
    'load': {'share': 1.0, 'missing': [], 'unexpected': [], 'resized': ['a'], 'parts': {'b': 0.5}},
}


def _write(folder, text, name='old'):
    path = folder / name / 'record.json'
    path.parent.mkdir(parents=True)
    path.write_text(text, 'utf-8')
    return path


def test_read_record_of_version_1_fills_what_it_did_not_keep_with_null(tmp_path):
    record = read_record(_write(tmp_path, OLD))
    assert record.schema_version == SCHEMA_VERSION == 2
    assert (record.precision, record.batch, record.origin) == (None, None, 'run')
    assert record.config.changed is None
    assert record.cost == Cost(0.0, 0.5, 1800.0, 'cpu', 1, 12.5, 0.25, 1048576, energy_joules=None)
    assert record.load == LoadReport(0.995, ['backbone.norm.weight'], [], [], {})
    assert record.artifacts.curves == 'curves.json'
    assert (record.artifacts.outcomes, record.artifacts.protocol) == (None, None)
    assert record.metrics['knn_top1'].value == 51.25


def test_read_record_of_version_1_keeps_what_it_has(tmp_path):
    record = read_record(_write(tmp_path, json.dumps(LATER)))
    assert (record.precision, record.batch) == ('fp16', Batch(**BATCH))
    assert record.load == LoadReport(1.0, [], [], ['a'], {'b': 0.5})


def test_read_record_of_version_1_leaves_the_file_as_it_is(tmp_path):
    path = _write(tmp_path, OLD)
    collect(tmp_path)
    assert path.read_text('utf-8') == OLD


def test_write_record_of_a_migrated_one_is_of_the_newest_version(tmp_path):
    record = read_record(_write(tmp_path, OLD))
    written = json.loads(write_record(record, tmp_path / 'new').read_text('utf-8'))
    assert written['schema_version'] == 2
    assert (written['precision'], written['batch']) == (None, None)
    assert written['cost']['energy_joules'] is None


@pytest.mark.parametrize('version', STEPS)
def test_step_leaves_its_input_as_it_is(version):
    before = json.loads(OLD)
    after = copy.deepcopy(before)
    STEPS[version](after)
    assert after == before


def test_steps_lead_to_the_newest_version_one_by_one():
    assert sorted(STEPS) == list(range(1, SCHEMA_VERSION))
    data = newest_version(json.loads(OLD), 'here')
    check_schema(data, 'record', 'here')


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'cost': {}}, 'here: cost: .*required property'),
        ({'origin': 'run'}, "here: top level: .*'origin' was unexpected"),
        ({'metrics': {'top1': {'value': '1'}}}, 'here: metrics.top1'),
        ({'schema_version': 0}, 'schema_version is 0, this mim_bench reads 1 to 2'),
        ({'schema_version': 3}, 'schema_version is 3, this mim_bench reads 1 to 2'),
        ({'schema_version': True}, 'schema_version is True'),
        ({'schema_version': '1'}, "schema_version is '1'"),
        ({'schema_version': None}, 'schema_version is None'),
        ({'schema_version': [1]}, r'schema_version is \[1\]'),
    ],
)
def test_record_from_dict_is_validated_as_what_it_says_it_is(changes, reason):
    with pytest.raises(RecordError, match=reason):
        record_from_dict({**json.loads(OLD), **changes}, 'here')


def test_record_from_dict_of_a_step_that_is_wrong_raises(monkeypatch):
    monkeypatch.setitem(migration.STEPS, 1, lambda data: {**data, 'schema_version': 2})
    with pytest.raises(RecordError, match='required property'):
        record_from_dict(json.loads(OLD), 'here')


def test_record_to_dict_has_every_field_of_the_schema(tmp_path):
    data = record_to_dict(read_record(_write(tmp_path, json.dumps(LATER))))
    for part, lost in (('', 'precision'), ('cost', 'energy_joules'), ('artifacts', 'outcomes')):
        damaged = copy.deepcopy(data)
        del (damaged[part] if part else damaged)[lost]
        with pytest.raises(RecordError, match=f"'{lost}' is a required property"):
            record_from_dict(damaged, 'here')
