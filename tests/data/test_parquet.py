"""Hugging Face's parquet layout read like class folders, offline."""

import os
import sys

import pytest

from mim_bench.data import archives
from mim_bench.data.archives import file_facts, is_file, is_folder, place_of, read_file
from mim_bench.data.checks import CHECKS, CheckOptions
from mim_bench.data.listing import class_folders, list_files
from mim_bench.data.summary import summary_of
from mim_bench.errors import DataError, StackError
from mim_bench.recipe.data_content import dataset_content
from mim_bench.testing.bad_inputs import launched, refused
from mim_bench.testing.parquet import write_parquet, write_rows

datasets = pytest.importorskip('datasets', reason='needs the extra [parquet]')


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Arrow files go to a folder of the test, and no connection is made."""
    monkeypatch.setattr(datasets.config, 'HF_DATASETS_CACHE', tmp_path / 'cache')
    datasets.disable_progress_bars()

    def refuse(*_):
        raise OSError('a connection')

    monkeypatch.setattr('socket.socket.connect', refuse)
    archives._opened.cache_clear()


@pytest.fixture
def imagenet(toy_root):
    return toy_root / 'imagenet'


def test_parquet_has_the_samples_order_classes_and_content_of_class_folders(imagenet, tmp_path):
    root = write_parquet(imagenet, tmp_path / 'parquet')

    wanted, found = launched('imagenet', imagenet), launched('imagenet', root)

    for split in ('train', 'val'):
        assert summary_of(found[split]).names == summary_of(wanted[split]).names
        assert [
            (sample['img_path'].removeprefix(str(root)), sample['gt_label'])
            for sample in map(found[split].get_data_info, range(len(found[split])))
        ] == [
            (sample['img_path'].removeprefix(str(imagenet)), sample['gt_label'])
            for sample in map(wanted[split].get_data_info, range(len(wanted[split])))
        ]
        assert dataset_content(found[split], evaluated=True) == dataset_content(
            wanted[split], evaluated=True
        )
    first = found['train'].get_data_info(0)['img_path']
    assert read_file(first) == (imagenet / os.path.relpath(first, root)).read_bytes()
    assert CHECKS['imagenet'](root, CheckOptions({'train': 40, 'val': 20, 'classes': 10})).is_ok


def test_second_start_keeps_the_index_and_forked_processes_read_at_once(imagenet, tmp_path):
    root = write_parquet(imagenet, tmp_path / 'parquet')
    names = list_files(root / 'train').files
    archives._opened.cache_clear()
    assert list_files(root / 'train').files == names
    assert (root / '.train.mim-bench-index.txt').is_file()
    child = os.fork()
    same = all(
        read_file(root / 'train' / name) == (imagenet / 'train' / name).read_bytes()
        for name in names
    )
    if not child:
        os._exit(0 if same else 1)
    assert same
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_names_of_the_release_give_the_class_folders_and_files_of_imagenet(tmp_path):
    words = ['tench, Tinca tinca', 'goldfish, Carassius auratus']
    rows = [
        ('n01443537_7_n01443537.JPEG', b'seven', 1),
        ('n01440764_9_n01440764.JPEG', b'nine', 0),
    ]
    write_rows(tmp_path / 'data', 'train', rows, words)
    write_rows(
        tmp_path / 'data',
        'validation',
        [('ILSVRC2012_val_00000293_n01440764.JPEG', b'v', 0)],
        words,
        1,
    )

    assert class_folders(tmp_path / 'train') == ['n01440764', 'n01443537']
    assert read_file(tmp_path / 'train/n01440764/n01440764_9.JPEG') == b'nine'
    assert file_facts(tmp_path / 'train/n01443537/n01443537_7.JPEG')[0] == len('seven')
    assert list_files(tmp_path / 'val').files == ['n01440764/ILSVRC2012_val_00000293.JPEG']


def test_classes_are_numbered_by_the_class_label_and_named_by_it(tmp_path):
    rows = [(None, b'1', 0), ('a.jpg', b'2', 1), ('x/a.jpg', b'3', 1)]
    write_rows(tmp_path, 'train', rows, ['zebra', 'ape/monkey', 'gnu'])

    assert class_folders(tmp_path / 'train') == ['zebra', 'ape_monkey', 'gnu']
    assert list_files(tmp_path / 'train').files == [
        'ape_monkey/a.jpg',
        'ape_monkey/a~2.jpg',
        'zebra/00000000.jpg',
    ]
    assert read_file(tmp_path / 'train/ape_monkey/a~2.jpg') == b'3'


def test_splits_that_number_the_classes_differently_are_refused(imagenet, tmp_path):
    root = write_parquet(imagenet, tmp_path / 'parquet')
    names = class_folders(imagenet / 'val')
    for file in (root / 'data').glob('validation-*'):
        file.unlink()
    other = write_parquet(imagenet, tmp_path / 'other', names=names[::-1])
    for file in (other / 'data').glob('validation-*'):
        file.rename(root / 'data' / file.name)

    refused('imagenet', root, 'differently: the order differs from number 0 on')


def test_folder_beside_the_files_counts(imagenet, tmp_path):
    root = write_parquet(imagenet, tmp_path / 'parquet')
    (root / 'train').mkdir()
    assert place_of(root / 'train') is None
    assert place_of(root / 'val/x.jpg').name == 'x.jpg'
    assert not is_file(root / 'val/x.jpg')
    assert is_folder(root / 'val')


BAD_ROWS = {
    'no label': ([('a.jpg', b'1', None)], 'row 0 has the label None'),
    'no bytes': ([('a.jpg', b'1', 0), ('b.jpg', b'', 0)], 'row 1 has no bytes'),
}


@pytest.mark.parametrize('case', BAD_ROWS)
def test_rows_without_an_image_or_a_label_are_refused(case, tmp_path):
    rows, message = BAD_ROWS[case]
    write_rows(tmp_path, 'train', rows, ['a'], parts=1)
    with pytest.raises(DataError, match=message):
        list_files(tmp_path / 'train')


def test_damaged_files_and_other_columns_are_refused(tmp_path):
    (tmp_path / 'train-0.parquet').write_bytes(b'nothing of the kind')
    with pytest.raises(DataError, match='cannot be read'):
        list_files(tmp_path / 'train')
    datasets.Dataset.from_dict({'pixels': [1]}).to_parquet(str(tmp_path / 'val-0.parquet'))
    with pytest.raises(DataError, match='has the columns pixels; image and label are needed'):
        list_files(tmp_path / 'val')


def test_missing_library_is_said(tmp_path, monkeypatch):
    (tmp_path / 'train-0.parquet').touch()
    monkeypatch.setitem(sys.modules, 'datasets', None)
    with pytest.raises(StackError, match=r"pip install 'mim-bench\[parquet\]'"):
        list_files(tmp_path / 'train')
