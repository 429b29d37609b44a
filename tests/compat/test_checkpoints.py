import argparse
import subprocess

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner.checkpoint import _load_checkpoint

from mim_bench.compat.checkpoints import _history_method, allowed_globals
from mim_bench.errors import CheckpointError

pytestmark = pytest.mark.stack


class RunsCode:
    """Its file starts a process when it is read without care."""

    def __reduce__(self):
        return subprocess.check_output, (['true'],)


def test_load_checkpoint_resume_state_is_read(tmp_path):
    buffer = HistoryBuffer([0.5, 0.25], [1, 1])
    state = {
        'message_hub': {'log_scalars': {'train/loss': buffer}, 'lr': np.float64(0.1)},
        'args': argparse.Namespace(mask_ratio=0.75),
        'palette': np.array([[1, 2, 3]], dtype=np.uint8),
    }
    path = tmp_path / 'epoch_1.pth'
    torch.save(state, path)
    loaded = _load_checkpoint(str(path), map_location='cpu')
    assert loaded['message_hub']['log_scalars']['train/loss'].mean() == 0.375
    assert loaded['message_hub']['lr'] == 0.1
    assert loaded['args'].mask_ratio == 0.75
    np.testing.assert_array_equal(loaded['palette'], state['palette'])


def test_load_checkpoint_in_a_new_process_is_read(tmp_path, monkeypatch):
    """The first history buffer of a process registers the methods; resuming comes before it."""
    torch.save({'loss': HistoryBuffer([0.5], [1])}, tmp_path / 'epoch_1.pth')
    monkeypatch.setattr(HistoryBuffer, '_statistics_methods', {})
    torch.serialization.clear_safe_globals()
    torch.serialization.add_safe_globals(allowed_globals())
    assert _load_checkpoint(str(tmp_path / 'epoch_1.pth'), 'cpu')['loss'].current() == 0.5


def test_load_checkpoint_file_that_runs_code_is_refused_by_name(tmp_path):
    path = tmp_path / 'foreign.pth'
    torch.save({'state_dict': {}, 'extra': RunsCode()}, path)
    with pytest.raises(CheckpointError, match=r'foreign\.pth: refused.*check_output'):
        _load_checkpoint(str(path))


@pytest.mark.parametrize('content', ['cut', 'text', 'empty'])
def test_load_checkpoint_damaged_file_is_one_message(tmp_path, content):
    path = tmp_path / 'damaged.pth'
    torch.save({'state_dict': {'weight': torch.zeros(100)}}, path)
    whole = path.read_bytes()
    path.write_bytes({'cut': whole[: len(whole) // 2], 'text': b'hello', 'empty': b''}[content])
    with pytest.raises(CheckpointError, match=r'damaged\.pth: .*(cut short|cannot read)'):
        _load_checkpoint(str(path))


def test_load_checkpoint_missing_file_keeps_its_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='can not be found'):
        _load_checkpoint(str(tmp_path / 'absent.pth'))


def test_history_method_gives_only_methods_of_history_buffers():
    assert _history_method(HistoryBuffer, 'mean') is HistoryBuffer.mean
    for owner, name in ((HistoryBuffer, '__init__'), (torch.Tensor, 'mean')):
        with pytest.raises(Exception, match='Unsupported global'):
            _history_method(owner, name)
