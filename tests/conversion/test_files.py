import errno
import os
from pathlib import Path

import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint

from mim_bench.conversion.files import read_checkpoint, state_dict_of, write_checkpoint
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
    assert content.get('meta', {'epochs': 3}) == {'epochs': 3}
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_write_checkpoint_full_disk_keeps_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = write_checkpoint({'state_dict': STATE}, tmp_path / 'a.pth')
    old = path.read_bytes()

    def write(self, data):
        with self.open('wb') as file:
            file.write(b'half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, 'write_bytes', write)
    with pytest.raises(CheckpointError, match=r'a\.pth: cannot be written .*No space left'):
        write_checkpoint({'state_dict': {}}, path)
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


@pytest.mark.parametrize('key', ['state_dict', 'model', 'module'])
def test_state_dict_of_finds_the_weights_and_strips_wrappers(key):
    content = {key: {'module._orig_mod.a.b': STATE['backbone.b'], 'epoch': 3}, 'args': None}
    assert list(state_dict_of(content)) == ['a.b']


def test_state_dict_of_bare_weights_is_itself():
    assert state_dict_of(STATE) == STATE
