import errno
import io
import os
import resource
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint

from mim_bench.conversion.files import read_checkpoint, write_checkpoint
from mim_bench.errors import CheckpointError

STATE = {'backbone.a': torch.arange(6.0).reshape(2, 3), 'backbone.b': torch.ones(2)}


class RunsCode:
    def __reduce__(self):
        return os.getpid, ()


@pytest.mark.parametrize('name', ['new/a.pth', 'new/a.safetensors'])
def test_write_checkpoint_reads_back(tmp_path, name):
    path = write_checkpoint({'state_dict': STATE, 'meta': {'epochs': 3}}, tmp_path / name)
    content = read_checkpoint(path)
    torch.testing.assert_close(content['state_dict'], STATE, rtol=0, atol=0)
    assert content['meta'] == {'epochs': 3}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_write_checkpoint_full_disk_keeps_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_checkpoint({'state_dict': STATE}, tmp_path / 'a.pth')
    old = path.read_bytes()

    class FullDisk(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'open', lambda self, mode: self.touch() or FullDisk())
        with pytest.raises(CheckpointError, match=r'a\.pth: cannot be written .*No space left'):
            write_checkpoint({'state_dict': STATE}, path)
    assert path.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ['a.pth']


def test_read_checkpoint_file_with_code_needs_trust(tmp_path):
    torch.save({'state_dict': STATE, 'extra': RunsCode()}, tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth: refused.*getpid.*--trust'):
        read_checkpoint(tmp_path / 'a.pth')
    assert read_checkpoint(tmp_path / 'a.pth', trust=True)['extra'] == os.getpid()


def test_read_checkpoint_leaves_mmengine_able_to_resume(tmp_path):
    torch.save({'loss': HistoryBuffer([0.5], [1])}, tmp_path / 'epoch_1.pth')
    for _ in range(2):
        read_checkpoint(tmp_path / 'epoch_1.pth')
        loaded = _load_checkpoint(str(tmp_path / 'epoch_1.pth'), 'cpu')
        assert loaded['loss'].current() == 0.5


def test_read_checkpoint_other_content_raises(tmp_path):
    torch.save([1, 2], tmp_path / 'a.pth')
    with pytest.raises(CheckpointError, match=r'a\.pth: holds a list, not a dictionary'):
        read_checkpoint(tmp_path / 'a.pth')


def test_read_checkpoint_of_safetensors_written_again_keeps_what_is_kept_only(tmp_path):
    # Tensors that are mapped from one file must not drag the whole file into the next.
    large = {'backbone.a': torch.zeros(1000, 1000), 'backbone.b': torch.ones(2)}
    path = write_checkpoint({'state_dict': large}, tmp_path / 'a.safetensors')
    small = {'backbone.b': read_checkpoint(path)['state_dict']['backbone.b']}
    written = write_checkpoint({'state_dict': small}, tmp_path / 'b.pth')
    assert written.stat().st_size < 10_000


@pytest.mark.parametrize('suffix', ['.bin', '.pth', ''])
def test_read_checkpoint_tells_formats_by_content_not_by_name(tmp_path, suffix):
    for name in ('a.safetensors', 'a.pth'):
        path = write_checkpoint({'state_dict': STATE}, tmp_path / name)
        renamed = path.rename(tmp_path / f'renamed{suffix}')
        torch.testing.assert_close(read_checkpoint(renamed)['state_dict'], STATE)


def bad_zip(path):
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('holiday.jpg', b'')


def cut_archive(path):
    torch.save({'state_dict': STATE}, path)
    path.write_bytes(path.read_bytes()[:-100])


def archive_without_tensors(path):
    torch.save({'state_dict': STATE}, path)
    with zipfile.ZipFile(path) as whole:
        pickles = {name: whole.read(name) for name in whole.namelist() if '/data/' not in name}
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in pickles.items():
            archive.writestr(name, content)


def sparse(path):
    with path.open('wb') as file:
        file.truncate(5 * 2**30)


def sparse_safetensors(path):
    with path.open('wb') as file:
        file.write((2**33).to_bytes(8, 'little') + b'{')
        file.truncate(5 * 2**30)


def script(path):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', DeprecationWarning)
        torch.jit.save(torch.jit.trace(torch.nn.Linear(2, 2), torch.ones(1, 2)), path)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (Path.touch, 'the file is empty'),
        (lambda path: path.write_text('<!DOCTYPE html>'), 'neither a file of torch nor'),
        (bad_zip, r'a zip archive, but not a checkpoint of torch \(it holds holiday\.jpg'),
        (cut_archive, 'damaged or cut short'),
        (archive_without_tensors, 'damaged'),
        (lambda path: path.write_bytes(b'\x80\x02'), 'damaged or cut short'),
        (sparse, 'neither a file of torch nor'),
        (sparse_safetensors, 'its header alone takes'),
        (
            lambda path: path.write_text('version https://git-lfs.github.com/spec/v1\noid x\n'),
            'is a pointer of Git LFS .*git lfs pull',
        ),
        (script, 'is a program of TorchScript, not a file of weights'),
    ],
    ids=[
        'empty', 'web-page', 'zip', 'cut', 'no-tensors', 'cut-pickle', '5-GB', '5-GB-header', 'lfs',
        'script',
    ],
)  # fmt: skip
def test_read_checkpoint_bad_file_is_one_clear_error(tmp_path, make, message):
    make(tmp_path / 'bad.pth')
    with pytest.raises(CheckpointError, match=rf'bad\.pth: .*{message}'):
        read_checkpoint(tmp_path / 'bad.pth')


def test_read_checkpoint_of_5_gb_stays_in_the_file(tmp_path):
    """A whole file with a sparse tensor of 5 GB: only what is used is read."""
    path = tmp_path / 'large.pth'
    with torch.serialization.skip_data():
        torch.save({'state_dict': STATE, 'optimizer': torch.empty(5 * 2**28)}, path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    content = read_checkpoint(path)
    assert content['state_dict'].keys() == STATE.keys()
    assert content['optimizer'].numel() == 5 * 2**28
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 2**10  # KiB
