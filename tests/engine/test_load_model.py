import pytest
import torch
from torch import nn

from mim_bench.conversion.key_table import Converted
from mim_bench.engine import load_gate
from mim_bench.engine.load_gate import load_model
from mim_bench.errors import CheckpointError


@pytest.fixture
def model():
    """90 trained values in the backbone, 10 in the neck; 900 frozen ones in a teacher."""
    parts = {'backbone': 90, 'neck': 10, 'teacher': 900}
    network = nn.ModuleDict(
        {name: nn.ParameterDict({'w': torch.zeros(n)}) for name, n in parts.items()}
    )
    network['teacher'].requires_grad_(False)
    return network


def save(path, **sizes):
    torch.save({'state_dict': {k: torch.full((n,), 2.0) for k, n in sizes.items()}}, path)
    return path


def test_load_model_fills_all_parts_and_counts_the_trained_ones(model, tmp_path):
    path = save(tmp_path / 'a.pth', **{'backbone.w': 90, 'neck.w': 10})
    report = load_model(model, path)
    assert (report.share, report.missing) == (1.0, ['teacher.w'])
    assert (model['neck']['w'] == 2).all()


def test_load_model_backbone_alone_raises(model, tmp_path):
    path = save(tmp_path / 'a.pth', **{'backbone.w': 90})
    with pytest.raises(CheckpointError, match=r'fills only 90\.0% of ModuleDict.*--keep-decoder'):
        load_model(model, path)


def test_load_model_foreign_file_is_converted(model, tmp_path, monkeypatch):
    class Source:
        @staticmethod
        def convert(state, where):
            return Converted({'backbone.w': state['enc']}, {'neck.w': state['dec']})

    monkeypatch.setattr(load_gate, 'find_source', lambda *_: Source)
    assert load_model(model, save(tmp_path / 'a.pth', enc=90, dec=10)).share == 1
