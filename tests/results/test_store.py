import os

import pytest

from mim_bench.errors import MimBenchError, RecordError
from mim_bench.results.collection import collect
from mim_bench.results.store import read_record, write_record
from mim_bench.testing.disk import full_disk
from mim_bench.testing.records import make_metric, make_record


def test_write_record_then_read_gives_the_same(tmp_path):
    record = make_record()
    path = write_record(record, tmp_path)
    assert path == tmp_path / record.run_id / 'record.json'
    assert read_record(path) == record


def test_write_record_not_finite_writes_nothing(tmp_path):
    record = make_record()
    record.metrics['knn_top1'] = make_metric(float('nan'))
    with pytest.raises(RecordError, match='should be a finite number'):
        write_record(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_write_record_full_disk_keeps_the_earlier_record(tmp_path, monkeypatch):
    path = write_record(make_record(), tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(os, 'fsync', full_disk)
    with pytest.raises(MimBenchError, match=r'Cannot write .*record.json: No space left'):
        write_record(make_record(seed=1), tmp_path)
    assert path.read_bytes() == before
    assert [child.name for child in path.parent.iterdir()] == ['record.json']


def test_write_record_is_readable_by_the_group(tmp_path):
    path = write_record(make_record(), tmp_path)
    plain = tmp_path / 'plain'
    plain.touch()
    assert path.stat().st_mode == plain.stat().st_mode


def test_read_record_missing_file_names_it(tmp_path):
    with pytest.raises(RecordError, match=r'record.json: cannot be read \(No such file'):
        read_record(tmp_path / 'record.json')


def test_collect_orders_by_run_id_at_any_depth(tmp_path):
    write_record(make_record(run_id='b'), tmp_path)
    write_record(make_record(run_id='a'), tmp_path / 'deep' / 'er')
    collection = collect(tmp_path)
    assert [record.run_id for record in collection.records] == ['a', 'b']
    first = collection.records[0]
    assert collection.artifact_path(first, 'x') == tmp_path / 'deep' / 'er' / 'a' / 'x'


def test_collect_not_text_is_damaged(tmp_path):
    (tmp_path / 'bad').mkdir()
    (tmp_path / 'bad' / 'record.json').write_bytes(b'\xff\xfe\x00')
    assert 'cannot be read' in collect(tmp_path).damaged[0].reason


def test_collect_folder_in_place_of_a_record_is_damaged(tmp_path):
    (tmp_path / 'bad' / 'record.json').mkdir(parents=True)
    assert 'Is a directory' in collect(tmp_path).damaged[0].reason


def test_collect_temporary_file_of_a_killed_run_is_no_record(tmp_path):
    path = write_record(make_record(), tmp_path)
    (path.parent / '.record.json.abc.tmp').write_text('{"half')
    assert collect(tmp_path).damaged == []


def test_collect_missing_folder_raises(tmp_path):
    with pytest.raises(RecordError, match='no such folder'):
        collect(tmp_path / 'nowhere')


def test_artifact_path_through_a_link_out_of_the_folder_raises(tmp_path):
    folder = write_record(make_record(), tmp_path / 'results').parent
    (tmp_path / 'secret.png').touch()
    (folder / 'link.png').symlink_to(tmp_path / 'secret.png')
    collection = collect(tmp_path / 'results')
    with pytest.raises(RecordError, match='leads out of the folder'):
        collection.artifact_path(collection.records[0], 'link.png')
