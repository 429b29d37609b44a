from pathlib import Path

import numpy as np
import pytest
import torch

from mim_bench.errors import DataError
from mim_bench.evaluation.probes.npy_rows import MappedRows, RowWriter, join_in_turn

STATM = Path('/proc/self/statm')


@pytest.fixture
def table(tmp_path):
    rows = torch.randn(9001, 3)
    np.save(tmp_path / 'x.npy', rows.numpy())
    return rows, MappedRows(tmp_path / 'x.npy')


def test_mapped_rows_give_what_a_tensor_gives(table):
    rows, mapped = table
    picked = torch.randperm(len(rows))
    assert (len(mapped), mapped.shape, mapped.ndim) == (9001, rows.shape, 2)
    for index in (slice(None), slice(5, 70), slice(1, None, 3), slice(9000, 9999), picked):
        assert torch.equal(mapped[index], rows[index])


def test_mapped_rows_are_copies(table):
    rows, mapped = table
    mapped[:10].zero_()
    assert torch.equal(mapped[:10], rows[:10])


@pytest.mark.skipif(not STATM.exists(), reason='only Linux tells')
def test_mapped_rows_do_not_stay_in_memory(tmp_path):
    path = tmp_path / 'x.npy'
    np.save(path, np.zeros((2**16, 256), np.float32))  # 64 MiB
    mapped = MappedRows(path)
    before = file_pages()
    for index in (slice(0, 2**15), torch.arange(0, 2**16, 16)):
        mapped[index]
        assert file_pages() - before < 1024  # 4 MiB


def file_pages() -> int:
    """Pages of files that this process has in memory now."""
    return int(STATM.read_text().split()[2])


@pytest.mark.parametrize('damage', ['missing', 'cut', 'text', 'flat', 'whole numbers'])
def test_mapped_rows_of_a_damaged_file_raise(tmp_path, damage):
    path = tmp_path / 'x.npy'
    np.save(
        path, {'flat': np.zeros(6), 'whole numbers': np.zeros((2, 3), int)}.get(damage, [[0.0]])
    )
    if damage == 'missing':
        path.unlink()
    elif damage == 'cut':
        path.write_bytes(path.read_bytes()[:-1])
    elif damage == 'text':
        path.write_text('no array')
    with pytest.raises(DataError, match=r'x\.npy.*Delete it'):
        MappedRows(path)


def test_row_writer_gives_a_file_of_numpy(tmp_path):
    with RowWriter(tmp_path / 'x.npy', (3, 2), 'float16') as out:
        out.append(torch.tensor([[1.0, 2.0]]))
        out.append(torch.tensor([[3.0, 4.0], [5.0, 6.0]]))
    array = np.load(tmp_path / 'x.npy')
    assert array.dtype == np.float16
    assert array.tolist() == [[1, 2], [3, 4], [5, 6]]


@pytest.mark.parametrize('size', [1, 5, 6, 7])
def test_join_in_turn_deals_rows_back(tmp_path, monkeypatch, size):
    monkeypatch.setattr('mim_bench.evaluation.probes.npy_rows._JOINED_ROWS', 2)
    rows = torch.arange(float(size))[:, None]
    padded = torch.cat([rows, rows])[: 3 * -(-size // 3)] if size > 1 else rows.repeat(3, 1)
    parts = [tmp_path / f'{turn}.npy' for turn in range(3)]
    for turn, part in enumerate(parts):
        np.save(part, padded[turn::3].numpy())
    join_in_turn(parts, tmp_path / 'x.npy', size, 'float32')
    assert np.load(tmp_path / 'x.npy').tolist() == rows.tolist()
